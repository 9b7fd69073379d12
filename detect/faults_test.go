package detect

import (
	"fmt"
	"testing"

	"github.com/garita/garita/rule"
)

// Every fault of a rule is named, once, and not what only follows from one.
func TestEveryFault(t *testing.T) {
	for _, c := range []struct {
		rule, want string
	}{
		{`alert tcp any any -> any any (msg:"x"; dsize:abc; nosuch:1; ttl:many; sid:1;)`, "[dsize nosuch ttl]"},
		{`alert tcp any any -> $NOWHERE any (dsize:abc; sid:1;)`, "[ dsize]"},
		{`alert tcp any any -> any any (content:"|zz|"; within:5; nocase; dsize:abc; sid:1;)`, "[content dsize]"},
		{`alert tcp any any -> any any (byte_extract:99; content:"a"; depth:len; sid:1;)`, "[byte_extract]"},
		{`alert tcp any any -> any any (nosuch; dsize:abc; other; sid:1;)`, "[nosuch other]"}, // what belongs to a newer version
		{`alert tcp any any -> any any (dsize:abc;)`, "[dsize ]"},
		{`alert tcp any any -> any any (dsize:abc; filestore; requires:version >= 99; sid:1;)`, "[dsize]"},
		{`alert tcp any any -> any any (requires:version >= 99; dsize:abc; sid:1;)`, "[]"},
	} {
		rules, bad := rule.Parse("a.rules", c.rule, rule.Options{})
		if len(bad) > 0 {
			t.Fatal(bad[0])
		}
		set, problems := Compile(rules, Config{})
		kws := []string{}
		for i, p := range problems {
			kws = append(kws, p.Keyword)
			if p.More != (i > 0) || p.Warning {
				t.Errorf("%s: %+v", c.rule, p)
			}
		}
		if got := fmt.Sprint(kws); got != c.want {
			t.Errorf("%s: faults of %s, want %s", c.rule, got, c.want)
		}
		if st := set.Stats(); st.Rules != 0 || st.Refused != min(1, len(problems)) {
			t.Errorf("%s: %+v", c.rule, st)
		}
	}
}
