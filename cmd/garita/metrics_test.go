package main

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/garita/garita/internal/lab"
)

// Metrics tell what happened: a drop by its reason, rules, protection.
func TestMetrics(t *testing.T) {
	l := newLab(t)
	const address = "127.0.0.1:9742"
	a := start(t, l, "--metrics", address, "--rule", dropEvil)
	scrape := func() string {
		c, err := l.Dial(context.Background(), lab.Gateway, "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, "GET /metrics HTTP/1.0\r\n\r\n")
		b, err := io.ReadAll(c)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if page, err := get(l, "/", patience); err != nil || page == "" {
		t.Fatalf("the harmless page: %q, %v", page, err)
	}
	counted := regexp.MustCompile(`garita_ips_drop_reason_total\{reason="rules"\} [1-9]`)
	until(t, "the drop to be counted", func() bool {
		if page, _ := get(l, "/evil", 300*time.Millisecond); page != "" {
			t.Fatalf("the evil page came: %q", page)
		}
		return counted.MatchString(scrape())
	})
	text := scrape()
	for _, want := range []string{"garita_rules 1\n", "garita_rules_refused 0\n", "garita_protected 1\n", "# TYPE garita_decoder_pkts_total counter", "# TYPE garita_flow_memuse_bytes gauge"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	a.stop(t)
}

func TestMetricName(t *testing.T) {
	for _, c := range []struct{ key, name, value string }{
		{"decoder.pkts", "garita_decoder_pkts_total", ""},
		{"uptime", "garita_uptime_seconds", ""},
		{"flow.memuse", "garita_flow_memuse_bytes", ""},
		{"flow.active", "garita_flow_active", ""},
		{"garita.panics", "garita_panics_total", ""},
		{"ips.drop_reason.flow drop", "garita_ips_drop_reason_total", "flow drop"},
	} {
		name, value, _, _ := metricName(c.key)
		if name != c.name || strings.Join(value, ",") != c.value {
			t.Errorf("%s: %s %v", c.key, name, value)
		}
	}
}
