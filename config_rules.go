package garita

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/garita/garita/detect"
)

// What rules look up: countries, reputation, datasets.

func (r *reader) geoIP() {
	f := r.n.String("geoip-database", "")
	if f == "" {
		return
	}
	data, err := os.ReadFile(f)
	if err != nil {
		r.c.Warnings = append(r.c.Warnings, fmt.Sprintf("geoip-database: %v; rules with geoip are refused", err))
		return
	}
	db, err := detect.OpenGeoIP(data)
	if err != nil {
		r.bad("geoip-database", err)
		return
	}
	r.c.Detect.GeoIP = db
}

func (r *reader) reputation() {
	cats := r.n.String("reputation-categories-file", "")
	list := r.n.Get("reputation-files")
	if cats == "" || list == nil {
		return
	}
	rep := &detect.Reputation{}
	read := func(path, f string, add func(string) []int) {
		data, err := os.ReadFile(f)
		if err != nil {
			r.c.Warnings = append(r.c.Warnings, fmt.Sprintf("%s: %v", path, err))
			return
		}
		for _, l := range add(string(data)) {
			r.c.Warnings = append(r.c.Warnings, fmt.Sprintf("%s:%d: not a line of reputation", f, l))
		}
	}
	read("reputation-categories-file", cats, rep.AddCategories)
	dir := r.n.String("default-reputation-path", "")
	for _, f := range values(list) {
		if !filepath.IsAbs(f) {
			f = filepath.Join(dir, f)
		}
		read("reputation-files", f, rep.AddScores)
	}
	r.c.Detect.Reputation = rep
}

// datasets reads the sets that the configuration declares; its limits have no
// meaning here: every set is bounded alike.
func (r *reader) datasets() {
	s := r.n.Get("datasets")
	if s == nil {
		return
	}
	for _, k := range s.Kids {
		kind := k.String("type", "")
		if k.Name == "defaults" || k.Name == "limits" || kind == "" {
			continue
		}
		d := detect.DatasetConfig{Name: k.Name, Type: kind, Load: k.String("load", "")}
		if f := k.String("state", ""); f != "" {
			d.Load = f
		}
		r.c.Detect.Datasets = append(r.c.Detect.Datasets, d)
	}
}
