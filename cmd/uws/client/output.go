package client

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/unicorn-web-services/uws/internal/clean"
)

// Terminal is where the commands read and write.
type Terminal struct {
	In          io.Reader
	Out, Err    io.Writer
	Interactive bool // both are a terminal
}

// Printf prints text without what a terminal would interpret.
func (t *Terminal) Printf(format string, args ...any) {
	for line := range strings.Lines(fmt.Sprintf(format, args...)) {
		text, ended := strings.CutSuffix(line, "\n")
		fmt.Fprint(t.Out, clean.Line(text))
		if ended {
			fmt.Fprintln(t.Out)
		}
	}
}

// outputFlags choose how something is printed.
type outputFlags struct {
	Output string `short:"o" default:"table" enum:"table,json,yaml,name" help:"Print a table, JSON, YAML, or names alone. Default: ${default}."`
}

// table is what is printed as one, with a row for each value.
type table[T any] struct {
	head []string
	row  func(T) []string
	name func(T) string
}

func printAll[T any](out *Terminal, format string, t table[T], all []T) error {
	switch format {
	case "json", "yaml":
		if all == nil {
			all = []T{}
		}
		return encode(out, format, all)
	case "name":
		for _, v := range all {
			out.Printf("%s\n", t.name(v))
		}
		return nil
	}
	w := tabwriter.NewWriter(out.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(t.head, "\t"))
	for _, v := range all {
		cells := t.row(v)
		for i := range cells {
			cells[i] = clean.Line(cells[i])
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	return w.Flush()
}

func encode(out *Terminal, format string, v any) error {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err == nil && format == "yaml" {
		raw, err = yaml.JSONToYAML(raw)
	}
	if err != nil {
		return err
	}
	_, err = clean.JSONWriter{W: out.Out}.Write(append(raw, '\n'))
	return err
}

// text is the text of a value that may be missing.
func text[T any](v *T) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprint(*v)
}

// size is a number of bytes for people; "-" for nil.
func size(bytes *float64) string {
	if bytes == nil {
		return "-"
	}
	v, units := *bytes, "B KiB MiB GiB TiB"
	for _, unit := range strings.Fields(units) {
		if v < 1024 || unit == "TiB" {
			if v >= 100 || unit == "B" {
				return fmt.Sprintf("%.0f %s", v, unit)
			}
			return fmt.Sprintf("%.1f %s", v, unit)
		}
		v /= 1024
	}
	return ""
}

func ofLimit(used string, limit *float64, format func(*float64) string) string {
	if limit == nil {
		return used
	}
	return used + " / " + format(limit)
}

func cores(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%.2f", *v)
}

// age is a time for people: how long ago it was.
func age(at time.Time) string {
	d := time.Since(at)
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0fs", max(0, d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0fm", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.0fh", d.Hours())
	}
	return fmt.Sprintf("%.0fd", d.Hours()/24)
}
