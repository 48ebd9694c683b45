package main

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/unicorn-web-services/uws/orchestrator/catalog"
)

// configFlag is the path of a YAML file whose keys are the names of flags, without leading dashes.
type configFlag string

// BeforeResolve reads the file, so that kong can ask it for flags that are not given.
func (c configFlag) BeforeResolve(ctx *kong.Context, trace *kong.Path, used *usedConfig) error {
	path := string(c) // from the environment
	if given, ok := ctx.FlagValue(trace.Flag).(configFlag); ok && given != "" {
		path = string(given)
	}
	if path == "" || !slices.Contains(ctx.Selected().Flags, trace.Flag) { // kong also calls this for commands that are not run
		return nil
	}
	file, err := readConfig(path, settingsOf(ctx.Selected()))
	if err != nil {
		return err
	}
	used.file = file
	ctx.AddResolver(file)
	return nil
}

// settingsOf returns the names of the flags that a configuration file may set. A flag without an environment variable
// is an action, not a setting.
func settingsOf(node *kong.Node) []string {
	var keys []string
	for _, flag := range node.Flags {
		if flag.Name != "config" && len(flag.Envs) > 0 {
			keys = append(keys, flag.Name)
		}
	}
	slices.Sort(keys)
	return keys
}

// usedConfig is the configuration file of a command. file is nil if there is none.
type usedConfig struct{ file *configFile }

// flagError is an error in the value of one flag.
type flagError struct {
	Flag string
	Err  error
}

func (e *flagError) Error() string { return e.Err.Error() }
func (e *flagError) Unwrap() error { return e.Err }

// explain adds the file and the line if the invalid value came from the configuration file.
func (u *usedConfig) explain(err error) error {
	e, ok := errors.AsType[*flagError](err)
	if !ok || u.file == nil || !u.file.used[e.Flag] {
		return err
	}
	return u.file.at(e.Flag, e)
}

// configFile is a parsed configuration file.
type configFile struct {
	path    string
	entries map[string]configEntry // by flag
	used    map[string]bool        // flags whose value came from this file
}

type configEntry struct {
	value string
	line  int
}

var _ kong.Resolver = (*configFile)(nil)

// at adds the file and the line of a key to an error.
func (f *configFile) at(key string, err error) error {
	return fmt.Errorf("configuration file %s: line %d: %w", f.path, f.entries[key].line, err)
}

// Validate implements [kong.Resolver]. readConfig has validated the file.
func (*configFile) Validate(*kong.Application) error { return nil }

// Resolve implements [kong.Resolver]. In kong, resolvers take precedence over the environment; here it is the reverse.
// Invalid values are reported here, where their line is known.
func (f *configFile) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, name := range flag.Envs {
		if _, ok := os.LookupEnv(name); ok {
			return nil, nil
		}
	}
	entry, ok := f.entries[flag.Name]
	if !ok {
		return nil, nil
	}
	target := reflect.New(flag.Target.Type()).Elem()
	if err := flag.Mapper.Decode(&kong.DecodeContext{Value: flag.Value, Scan: kong.Scan(entry.value)}, target); err != nil {
		return nil, f.at(flag.Name, fmt.Errorf("%s: %w", flag.Name, err))
	}
	if choices := flag.EnumSlice(); flag.Enum != "" && !slices.Contains(choices, entry.value) {
		return nil, f.at(flag.Name, fmt.Errorf("%s must be one of %s, not %q", flag.Name, strings.Join(choices, ", "), entry.value))
	}
	f.used[flag.Name] = true
	return entry.value, nil
}

// readConfig reads a file whose keys must all be in keys.
func readConfig(path string, keys []string) (*configFile, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("configuration file: %w", err)
	}
	if err := catalog.CheckTabs(data); err != nil {
		return nil, fmt.Errorf("configuration file %s: %w", path, err)
	}
	doc, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, fmt.Errorf("configuration file %s: %w", path, err)
	}
	values := &configFile{path: path, entries: map[string]configEntry{}, used: map[string]bool{}}
	for _, d := range doc.Docs {
		if d.Body == nil {
			continue
		}
		for _, entry := range mappingOf(d.Body) {
			if err := values.add(entry, keys); err != nil {
				return nil, fmt.Errorf("configuration file %s: %w", path, err)
			}
		}
		if mappingOf(d.Body) == nil && d.Body.Type() != ast.CommentType && d.Body.Type() != ast.NullType {
			return nil, fmt.Errorf("configuration file %s: must be lines of key: value, with the keys %s", path, strings.Join(keys, ", "))
		}
	}
	return values, nil
}

func mappingOf(node ast.Node) []*ast.MappingValueNode {
	switch n := node.(type) {
	case *ast.MappingNode:
		return n.Values
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}
	default:
		return nil
	}
}

func (f *configFile) add(entry *ast.MappingValueNode, keys []string) error {
	token := entry.Key.GetToken()
	key, line := token.Value, token.Position.Line
	if !slices.Contains(keys, key) {
		return fmt.Errorf("line %d: unknown key %q; the keys are %s", line, key, strings.Join(keys, ", "))
	}
	if _, ok := f.entries[key]; ok {
		return fmt.Errorf("line %d: key %q appears twice", line, key)
	}
	switch entry.Value.Type() {
	case ast.StringType, ast.IntegerType, ast.FloatType, ast.BoolType:
		f.entries[key] = configEntry{entry.Value.GetToken().Value, line}
		return nil
	default:
		return fmt.Errorf("line %d: the value of %q must be a text or a number", line, key)
	}
}
