package lab

import (
	"fmt"
	"strings"
)

// Expand replaces $GARITA_SERVER and its like (see [Env]), also in braces, in
// the words of a command.
//
// A shell in which the variable is not set has already made http:///page of
// http://$GARITA_SERVER/page. Such a URL can mean nothing else, so it gets the
// server's address; notice then says so, for the user to see.
func Expand(command []string) (words []string, notice string) {
	var pairs []string
	for _, v := range Env() {
		name, value, _ := strings.Cut(v, "=")
		pairs = append(pairs, "${"+name+"}", value)
		if strings.HasSuffix(name, "6") { // before the name that is its beginning
			pairs = append([]string{"$" + name, value}, pairs...)
		} else {
			pairs = append(pairs, "$"+name, value)
		}
	}
	r := strings.NewReplacer(pairs...)
	for _, w := range command {
		x := r.Replace(w)
		for _, scheme := range [...]string{"http://", "https://"} {
			rest, found := strings.CutPrefix(x, scheme)
			switch {
			case !found:
			case rest == "", strings.IndexAny(rest, "/:?") == 0:
				x = scheme + ServerIP4.String() + rest
			case strings.HasPrefix(rest, "[]"):
				x = scheme + "[" + ServerIP6.String() + "]" + rest[2:]
			}
			if found && x != scheme+rest {
				notice = fmt.Sprintf("%s has no host; taken for %s (the shell expands $GARITA_SERVER: quote it, or write server)", w, x)
			}
		}
		words = append(words, x)
	}
	return words, notice
}
