package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Limits of one file. The parser's time and stack grow with the number and nesting of tokens, so these are limited
// before it runs.
const (
	maxFileBytes = 1 << 20
	maxTokens    = 20_000
	maxNesting   = 20
)

// Mistake is an error in a template file. Lines and columns count from 1, columns in characters.
type Mistake struct {
	File    string
	Line    int
	Column  int
	Field   string // path of the field, such as "probe.interval"; may be empty
	Message string // what is wrong and what would be right
}

func (m *Mistake) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", m.File, m.Line, m.Column, m.Message)
}

// Probes describes the probe types.
type Probes struct {
	// Check returns an error for a template's probe: an unknown type, an unknown or invalid option, or a missing
	// credential that the probe needs to log in.
	Check func(probeType string, options map[string]string, credentials []string) error
	// Writes reports whether probes of a type have a write check.
	Writes func(probeType string) bool
}

// parsed is a template with the positions of its fields.
type parsed struct {
	Template
	*decoder
	embedded bool
}

// parse parses one template. Its error joins one [*Mistake] each.
func parse(file string, data []byte, probes Probes) (*parsed, error) {
	d := &decoder{file: file, at: make(map[string]token.Position)}
	root := d.tree(data)
	if len(d.found) > 0 {
		return nil, errors.Join(d.found...)
	}
	p := &parsed{decoder: d}
	d.value(root, reflect.ValueOf(&p.Template).Elem(), "")
	if len(d.found) > 0 {
		return nil, errors.Join(d.found...)
	}
	p.Template = p.WithDefaults()
	d.semantics(p.Template, probes)
	if len(d.found) > 0 {
		return nil, errors.Join(d.found...)
	}
	return p, nil
}

func (d *decoder) semantics(t Template, probes Probes) {
	var names []string
	for _, c := range t.Credentials {
		names = append(names, c.Name)
	}
	if err := t.Check(); err != nil {
		for _, err := range err.(interface{ Unwrap() []error }).Unwrap() {
			var f *FieldError
			if errors.As(err, &f) {
				d.fail(d.where(f.Field), f.Field, "%s", f.Message)
			}
		}
	}
	if t.Probe.Type != "" {
		if err := probes.Check(t.Probe.Type, t.Probe.Options, names); err != nil {
			d.fail(d.where("probe.type"), "probe", "%s", err)
		} else if every := t.Probe.Write; every != "" && every != NoWrite && !probes.Writes(t.Probe.Type) {
			d.fail(d.where("probe.write"), "probe.write", "is %s, but probes of type %s cannot write; must be none, or left out", quote(every), t.Probe.Type)
		}
	}
}

// tree parses the YAML and returns the mapping of its only document, or records what is wrong.
func (d *decoder) tree(data []byte) (root ast.Node) {
	top := token.Position{Line: 1, Column: 1}
	defer func() {
		if r := recover(); r != nil { // a bug of the library
			d.fail(top, "", "cannot be read as YAML (%v); look for unusual syntax", r)
			root = nil
		}
	}()
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if pos, ok := unreadable(data); !ok {
		d.fail(pos, "", "holds a character that is not UTF-8 text; remove it")
		return nil
	}
	if line, ok := indentedByTab(data); ok {
		d.fail(token.Position{Line: line, Column: 1}, "", "%s", tabMessage)
		return nil
	}
	tokens := lexer.Tokenize(string(data))
	if !d.tokens(tokens) {
		return nil
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var at yaml.Error
		pos, message := top, err.Error()
		if errors.As(err, &at) {
			message = at.GetMessage()
			if tk := at.GetToken(); tk != nil && tk.Position != nil {
				pos = *tk.Position
			}
		}
		d.fail(pos, "", "is not YAML: %s", message)
		return nil
	}
	var bodies []ast.Node
	for _, doc := range file.Docs {
		if doc.Body != nil && doc.Body.Type() != ast.NullType && doc.Body.Type() != ast.CommentType {
			bodies = append(bodies, doc.Body)
		}
	}
	switch {
	case len(bodies) == 0:
		d.fail(top, "", "is empty; must hold a template, beginning with its name and kind")
		return nil
	case len(bodies) > 1:
		d.fail(position(bodies[1]), "", "begins a second template; put each into a file of its own")
		return nil
	}
	return bodies[0]
}

const tabMessage = "is indented with a tab; YAML takes only spaces there"

// CheckTabs returns an error that names the first line of a YAML file that is indented with a tab.
func CheckTabs(data []byte) error {
	if line, ok := indentedByTab(data); ok {
		return fmt.Errorf("line %d %s", line, tabMessage)
	}
	return nil
}

// indentedByTab returns the first line that is indented with a tab. Tabs after the indentation of a text block are
// allowed.
func indentedByTab(data []byte) (line int, ok bool) {
	for text := range bytes.Lines(data) {
		line++
		if indent := bytes.TrimLeft(text, " "); len(indent) > 0 && indent[0] == '\t' && len(indent) == len(text) && len(bytes.TrimSpace(text)) > 0 {
			return line, true
		}
	}
	return 0, false
}

// tokens rejects what makes a small file large or the parser slow, such as aliases and deep nesting.
func (d *decoder) tokens(all token.Tokens) bool {
	nesting, line, dashes := 0, 0, 0
	for i, tk := range all {
		refuse := func(format string, args ...any) bool {
			d.fail(*tk.Position, "", format, args...)
			return false
		}
		if tk.Position.Line != line {
			line, dashes = tk.Position.Line, 0
		}
		switch tk.Type {
		case token.AnchorType, token.AliasType, token.MergeKeyType:
			return refuse("uses %s; anchors and aliases are not supported, write it out", quote(tk.Value))
		case token.TagType, token.DirectiveType:
			return refuse("uses %s; tags and directives are not supported, remove it", quote(tk.Value))
		case token.InvalidType:
			return refuse("is not YAML: %s", strings.TrimSpace(tk.Error))
		case token.SequenceStartType, token.MappingStartType:
			nesting++
		case token.SequenceEndType, token.MappingEndType:
			nesting--
		case token.SequenceEntryType, token.MappingKeyType:
			dashes++
		}
		if nesting > maxNesting || dashes > maxNesting || tk.Position.IndentLevel > maxNesting {
			return refuse("is nested too deep; at most %d levels are allowed", maxNesting)
		}
		if i >= maxTokens {
			return refuse("is too long; a template has at most %d words and signs", maxTokens)
		}
	}
	return true
}

// unreadable returns the position of the first byte that is not UTF-8 or is a control character.
func unreadable(data []byte) (token.Position, bool) {
	pos := token.Position{Line: 1, Column: 1}
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		if (r == utf8.RuneError && size == 1) || (isControl(r) && r != '\r') {
			return pos, false
		}
		pos.Column++
		if r == '\n' {
			pos.Line, pos.Column = pos.Line+1, 1
		}
		data = data[size:]
	}
	return pos, true
}
