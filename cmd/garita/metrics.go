package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/garita/garita"
	"github.com/garita/garita/divert"
	"github.com/garita/garita/nfqueue"
)

// metrics answers Prometheus with the counters of an engine. They have the
// names that the stats records of EVE give them.
type metrics struct {
	l      net.Listener
	server http.Server
}

// listenMetrics is called before anything is diverted: an address that cannot
// be had is an error of the start, not a silent monitor.
func listenMetrics(address string) (*metrics, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--metrics: %w", err)
	}
	return &metrics{l: l}, nil
}

// serve answers until close.
func (m *metrics) serve(e *garita.Engine, log *slog.Logger) {
	r := prometheus.NewRegistry()
	r.MustRegister(engineMetrics{e})
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(r, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn), ErrorHandling: promhttp.ContinueOnError,
	}))
	m.server = http.Server{Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, MaxHeaderBytes: 8 << 10}
	go func() { _ = m.server.Serve(m.l) }()
}

func (m *metrics) close() { _ = m.server.Close() }

type engineMetrics struct{ e *garita.Engine }

// Describe says nothing: reasons of drops appear with the first of them.
func (engineMetrics) Describe(chan<- *prometheus.Desc) {}

// labelled are the counters whose last word is a value of a label.
var labelled = [...]struct{ prefix, name, label string }{
	{"ips.drop_reason.", "ips_drop_reason", "reason"},
	{"stream.dropped.", "stream_dropped", "cause"},
	{"flow.evicted.", "flow_evicted", "state"},
}

func (m engineMetrics) Collect(out chan<- prometheus.Metric) {
	for key, n := range m.e.Counters() {
		name, value, labels, kind := metricName(key)
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, key+" of the stats record", labels, nil), kind, float64(n), value...)
	}
	gauge := func(name, help string, v float64) {
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, nil, nil), prometheus.GaugeValue, v)
	}
	l := m.e.Loaded()
	gauge("garita_rules", "rules that are judged by", float64(l.Kept))
	gauge("garita_rules_refused", "faults of rules, as garita check names them", float64(len(l.Problems)))
	// The kernel is asked, as garita status does; without an answer there is no
	// sample, which an alarm sees as well.
	if found, err := divert.List(); err == nil {
		v := 0.0
		queues, _ := nfqueue.KernelQueues()
		if answered(found, queues) {
			v = 1
		}
		gauge("garita_protected", "1 if traffic is diverted to a living garita", v)
	}
}

// metricName turns a counter's name into one of Prometheus.
func metricName(key string) (name string, value, labels []string, kind prometheus.ValueType) {
	clean := strings.NewReplacer(".", "_", "-", "_", " ", "_")
	for _, l := range labelled {
		if v, ok := strings.CutPrefix(key, l.prefix); ok {
			return "garita_" + l.name + "_total", []string{v}, []string{l.label}, prometheus.CounterValue
		}
	}
	name = "garita_" + clean.Replace(strings.TrimPrefix(key, "garita."))
	switch {
	case key == "uptime":
		return name + "_seconds", nil, nil, prometheus.GaugeValue
	case strings.HasSuffix(key, "memuse"):
		return name + "_bytes", nil, nil, prometheus.GaugeValue
	case strings.HasSuffix(key, ".active"):
		return name, nil, nil, prometheus.GaugeValue
	}
	return name + "_total", nil, nil, prometheus.CounterValue
}
