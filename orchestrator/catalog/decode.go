package catalog

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// decoder fills a Template from a syntax tree. It continues after a mistake, so that all mistakes of a file are
// reported together. Where a text is wanted, it takes a number or a boolean as written: 1.10 stays "1.10". It records
// the position of each field for later checks.
type decoder struct {
	file  string
	at    map[string]token.Position // by path of the field
	found []error
}

func (d *decoder) fail(pos token.Position, field, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	if field != "" {
		message = field + ": " + message
	}
	d.found = append(d.found, &Mistake{File: d.file, Line: pos.Line, Column: pos.Column, Field: plain(field), Message: plain(message)})
}

// where returns the position of a field, or of the nearest enclosing field that is in the file.
func (d *decoder) where(field string) token.Position {
	for field != "" {
		if pos, ok := d.at[field]; ok {
			return pos
		}
		field = field[:max(strings.LastIndexAny(field, ".["), 0)]
	}
	return token.Position{Line: 1, Column: 1}
}

func position(n ast.Node) token.Position {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		n = m.Values[0].Key
	}
	if m, ok := n.(*ast.MappingValueNode); ok {
		n = m.Key
	}
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return token.Position{Line: 1, Column: 1}
	}
	return *n.GetToken().Position
}

// value decodes n into v, the field at the path field.
func (d *decoder) value(n ast.Node, v reflect.Value, field string) {
	if _, ok := n.(*ast.NullNode); ok {
		return // the same as a field that is left out
	}
	if v.Type() == reflect.TypeFor[time.Duration]() {
		d.duration(n, v, field)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, v.Elem(), field)
	case reflect.Struct:
		d.structure(n, v, field)
	case reflect.Slice:
		d.list(n, v, field)
	case reflect.Map:
		d.texts(n, v, field)
	case reflect.String:
		if s, ok := text(n); ok {
			v.SetString(s)
		} else {
			d.fail(position(n), field, "is %s; must be a text", describe(n))
		}
	case reflect.Bool:
		if b, ok := n.(*ast.BoolNode); ok {
			v.SetBool(b.Value)
		} else {
			d.fail(position(n), field, "is %s; must be true or false", describe(n))
		}
	case reflect.Int:
		d.integer(n, v, field)
	case reflect.Float64:
		d.number(n, v, field)
	default:
		panic("catalog: no decoder for " + v.Type().String())
	}
}

func (d *decoder) duration(n ast.Node, v reflect.Value, field string) {
	s, ok := text(n)
	if ok {
		if parsed, err := time.ParseDuration(s); err == nil {
			v.SetInt(int64(parsed))
			return
		}
	}
	d.fail(position(n), field, "is %s; must be a duration with its unit, such as 500ms, 30s or 5m", describe(n))
}

func (d *decoder) integer(n ast.Node, v reflect.Value, field string) {
	if i, ok := n.(*ast.IntegerNode); ok {
		switch x := i.Value.(type) {
		case int64:
			v.SetInt(x)
			return
		case uint64:
			if x <= math.MaxInt64 {
				v.SetInt(int64(x))
				return
			}
		}
	}
	d.fail(position(n), field, "is %s; must be a whole number", describe(n))
}

func (d *decoder) number(n ast.Node, v reflect.Value, field string) {
	switch n.(type) {
	case *ast.IntegerNode, *ast.FloatNode:
		if f, err := strconv.ParseFloat(n.GetToken().Value, 64); err == nil {
			v.SetFloat(f)
			return
		}
	}
	d.fail(position(n), field, "is %s; must be a number, such as 2 or 0.5", describe(n))
}

func (d *decoder) list(n ast.Node, v reflect.Value, field string) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.fail(position(n), field, "is %s; must be a list: lines that begin with a dash, or [a, b]", describe(n))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values)))
	for i, item := range seq.Values {
		path := field + "[" + strconv.Itoa(i) + "]"
		d.at[path] = position(item)
		d.value(item, v.Index(i), path)
	}
}

func (d *decoder) structure(n ast.Node, v reflect.Value, field string) {
	fields := make(map[string]int)
	for i := range v.NumField() {
		if name := v.Type().Field(i).Tag.Get("yaml"); name != "-" { // not part of a template file
			fields[name] = i
		}
	}
	names := strings.Join(slices.Sorted(maps.Keys(fields)), ", ")
	d.pairs(n, field, "fields: "+names, func(key string, keyNode, value ast.Node) {
		i, ok := fields[key]
		if !ok {
			d.fail(position(keyNode), join(field, key), "is unknown; the fields here are %s", names)
			return
		}
		d.value(value, v.Field(i), join(field, key))
	})
}

func (d *decoder) texts(n ast.Node, v reflect.Value, field string) {
	v.Set(reflect.MakeMap(v.Type()))
	d.pairs(n, field, "names with a text each", func(key string, _, value ast.Node) {
		item := reflect.New(v.Type().Elem()).Elem()
		d.value(value, item, join(field, key))
		v.SetMapIndex(reflect.ValueOf(key), item)
	})
}

// pairs calls each for every key of a mapping and records the position of its value. A duplicate key is a mistake.
func (d *decoder) pairs(n ast.Node, field, want string, each func(key string, keyNode, value ast.Node)) {
	var all []*ast.MappingValueNode
	switch m := n.(type) {
	case *ast.MappingNode:
		all = m.Values
	case *ast.MappingValueNode:
		all = []*ast.MappingValueNode{m}
	default:
		d.fail(position(n), field, "is %s; must hold %s", describe(n), want)
		return
	}
	first := make(map[string]token.Position)
	for _, pair := range all {
		key, ok := text(pair.Key)
		if !ok {
			d.fail(position(pair.Key), field, "has %s as a name; must be a plain word", describe(pair.Key))
			continue
		}
		pos := position(pair.Key)
		if before, ok := first[key]; ok {
			d.fail(pos, join(field, key), "is here twice, first in line %d; remove one", before.Line)
			continue
		}
		first[key] = pos
		d.at[join(field, key)] = pos
		if _, null := pair.Value.(*ast.NullNode); !null {
			d.at[join(field, key)] = position(pair.Value)
		}
		each(key, pair.Key, pair.Value)
	}
}

func join(field, key string) string {
	if field == "" {
		return key
	}
	return field + "." + key
}

// text returns a scalar as written, without quotes.
func text(n ast.Node) (string, bool) {
	switch s := n.(type) {
	case *ast.StringNode:
		return s.Value, true
	case *ast.LiteralNode:
		return s.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func describe(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a group of fields"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "empty"
	}
	if s, ok := text(n); ok {
		return quote(s)
	}
	return "something else (" + n.Type().String() + ")"
}
