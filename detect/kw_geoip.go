package detect

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/oschwald/maxminddb-golang"
)

// Keyword geoip: in which country an address lies, by a database of MaxMind's
// format (GeoLite2 Country and the like).

// geoRule is what a geoip keyword wants.
type geoRule struct {
	src, dst  bool // which side; both: either of them
	both      bool // both must be there
	neg       bool
	countries []country
}

// country is a two-letter code (ISO 3166-1), "" packed as 0.
type country uint16

func packCountry(s string) country {
	if len(s) != 2 {
		return 0
	}
	return country(s[0])<<8 | country(s[1])
}

// maxCountries bounds the addresses whose country a worker remembers.
const maxCountries = 1 << 14

// OpenGeoIP reads a database of countries from memory, for Config.GeoIP.
func OpenGeoIP(data []byte) (*maxminddb.Reader, error) { return maxminddb.FromBytes(data) }

// kwGeoIP reads "[any|both|src|dst|dest,]CC[,CC…]", each country with ! before
// it or none.
func kwGeoIP(b *builder, v string) error {
	if b.c.cfg.GeoIP == nil {
		return b.fail(0, "there is no database of countries", "name one by geoip-database in the configuration")
	}
	g := &geoRule{src: true, dst: true}
	f := fields(v)
	switch strings.ToLower(f[0]) {
	case "any":
		f = f[1:]
	case "both":
		g.both, f = true, f[1:]
	case "src":
		g.dst, f = false, f[1:]
	case "dst", "dest":
		g.src, f = false, f[1:]
	}
	for _, s := range f {
		name, neg := strings.CutPrefix(s, "!")
		c := packCountry(strings.ToUpper(strings.TrimSpace(name)))
		if c == 0 {
			return b.fail(0, "not a country: "+strconv.Quote(s), "write two letters, as in geoip:src,DE,FR")
		}
		g.neg = g.neg || neg
		g.countries = append(g.countries, c)
	}
	if len(g.countries) == 0 {
		return b.fail(0, "no country is named", "write geoip:src,DE,FR")
	}
	b.packetCond(cond{op: condGeoIP, geo: g})
	return nil
}

// geoIP evaluates a geoip keyword. As in Suricata, it is about IPv4.
func (w *Worker) geoIP(g *geoRule, in *Input) bool {
	if in.Packet.IPVersion() != 4 {
		return false
	}
	src := g.src && w.lies(g, w.src)
	dst := g.dst && w.lies(g, w.dst)
	if g.both {
		return src && dst
	}
	return src || dst
}

func (w *Worker) lies(g *geoRule, a netip.Addr) bool {
	c := w.countryOf(a)
	if c == 0 {
		return false
	}
	for _, x := range g.countries {
		if x == c {
			return !g.neg
		}
	}
	return g.neg
}

// countryOf looks an address up, and remembers what it found.
func (w *Worker) countryOf(a netip.Addr) country {
	if c, ok := w.countries[a]; ok {
		return c
	}
	var rec struct {
		Country struct {
			ISO string `maxminddb:"iso_code"`
		} `maxminddb:"country"`
	}
	var c country
	if err := w.rs.cfg.GeoIP.Lookup(a.AsSlice(), &rec); err == nil {
		c = packCountry(rec.Country.ISO)
	}
	if len(w.countries) >= maxCountries {
		clear(w.countries)
	}
	if w.countries == nil {
		w.countries = make(map[netip.Addr]country)
	}
	w.countries[a] = c
	return c
}
