package backup

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
)

// group is a part of a backup's contents, as the API shows it.
type group struct {
	Type   string  `json:"type"`
	Name   string  `json:"name"`
	Values []value `json:"values"`
	Items  []group `json:"items,omitempty"`
}

type value struct {
	Name     string  `json:"name"`
	Value    float64 `json:"value"`
	Estimate bool    `json:"estimate,omitempty"`
}

// contentsOf returns the contents of a backup as the API shows them.
func contentsOf(c method.Contents) (json.RawMessage, error) {
	groups := []group{}
	for _, g := range c.Groups {
		groups = append(groups, groupOf(g))
	}
	return json.Marshal(groups)
}

// counted is what the count of a group counts.
var counted = map[method.GroupKind]string{
	method.Database: "tables", method.Roles: "roles", method.Bucket: "objects", method.Stream: "messages", method.SecretsAll: "secrets",
}

func groupOf(g method.Group) group {
	out := group{Type: strings.ToLower(string(g.Kind)), Name: g.Name, Values: []value{{Name: counted[g.Kind], Value: float64(g.Count)}}}
	add := func(name string, n float64, estimate bool) {
		if n > 0 {
			out.Values = append(out.Values, value{name, n, estimate})
		}
	}
	add("bytes", float64(g.Bytes), g.Kind == method.Database)
	add("first_sequence", float64(g.FirstSequence), false)
	add("last_sequence", float64(g.LastSequence), false)
	add("consumers", float64(len(g.Consumers)), false)
	add("extensions", float64(len(g.Extensions)), false)
	add("large_objects", float64(g.LargeObjects), false)
	for _, i := range g.Items {
		item := group{Type: "table", Name: i.Name, Values: []value{}}
		if i.Rows >= 0 {
			item.Values = append(item.Values, value{"rows", float64(i.Rows), true})
		}
		if i.Bytes > 0 {
			item.Values = append(item.Values, value{"bytes", float64(i.Bytes), true})
		}
		out.Items = append(out.Items, item)
	}
	return out
}

// size is a number of bytes for people.
func size(bytes int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	v, u := float64(bytes), 0
	for v >= 1024 && u < len(units)-1 {
		v, u = v/1024, u+1
	}
	if u == 0 {
		return fmt.Sprintf("%d B", bytes)
	}
	return fmt.Sprintf("%.1f %s", v, units[u])
}
