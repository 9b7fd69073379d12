package lab_test

import (
	"slices"
	"testing"

	"github.com/garita/garita/internal/lab"
)

func TestExpand(t *testing.T) {
	for _, c := range []struct {
		in, want string
		notice   bool
	}{
		{"http://$GARITA_SERVER/evil", "http://10.77.2.2/evil", false},
		{"http://${GARITA_SERVER}:80/", "http://10.77.2.2:80/", false},
		{"http://[$GARITA_SERVER6]/", "http://[fd77:2::2]/", false},
		{"http://[${GARITA_SERVER6}]/", "http://[fd77:2::2]/", false},
		{"$GARITA_CLIENT,$GARITA_CLIENT6", "10.77.1.2,fd77:1::2", false},
		{"$HOME $GARITA ${x} 100%", "$HOME $GARITA ${x} 100%", false},
		{"http:///evil", "http://10.77.2.2/evil", true},
		{"https://", "https://10.77.2.2", true},
		{"http://:8080/", "http://10.77.2.2:8080/", true},
		{"http://[]/x", "http://[fd77:2::2]/x", true},
		{"https://server/x", "https://server/x", false},
		{"-x", "-x", false},
	} {
		got, notice := lab.Expand([]string{"curl", c.in})
		if !slices.Equal(got, []string{"curl", c.want}) || (notice != "") != c.notice {
			t.Errorf("%q: %q, %q; want %q", c.in, got, notice, c.want)
		}
	}
}
