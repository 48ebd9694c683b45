package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// configFlag names a YAML file whose keys are the names of flags, without the dashes in front.
type configFlag string

// BeforeResolve reads the file, so that kong can ask it for the flags that are not given.
func (c configFlag) BeforeResolve(ctx *kong.Context, trace *kong.Path) error {
	path := string(c) // from the environment
	if given, ok := ctx.FlagValue(trace.Flag).(configFlag); ok && given != "" {
		path = string(given)
	}
	if path == "" {
		return nil
	}
	var keys []string
	for _, flag := range ctx.Selected().Flags {
		if flag.Name != trace.Flag.Name {
			keys = append(keys, flag.Name)
		}
	}
	slices.Sort(keys)
	file, err := readConfig(path, keys)
	if err != nil {
		return err
	}
	ctx.AddResolver(file)
	return nil
}

// configFile is the values of a configuration file, by flag.
type configFile map[string]string

var _ kong.Resolver = configFile(nil)

// Validate implements [kong.Resolver]; readConfig has done it.
func (configFile) Validate(*kong.Application) error { return nil }

// Resolve implements [kong.Resolver]. kong lets resolvers win over the environment; here it is the
// other way round.
func (f configFile) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, name := range flag.Envs {
		if _, ok := os.LookupEnv(name); ok {
			return nil, nil
		}
	}
	if value, ok := f[flag.Name]; ok {
		return value, nil
	}
	return nil, nil
}

// readConfig reads a file of which every key must be one of keys.
func readConfig(path string, keys []string) (configFile, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("configuration file: %w", err)
	}
	doc, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, fmt.Errorf("configuration file %s: %w", path, err)
	}
	values := configFile{}
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

func (f configFile) add(entry *ast.MappingValueNode, keys []string) error {
	token := entry.Key.GetToken()
	key, line := token.Value, token.Position.Line
	if !slices.Contains(keys, key) {
		return fmt.Errorf("line %d: unknown key %q; the keys are %s", line, key, strings.Join(keys, ", "))
	}
	if _, ok := f[key]; ok {
		return fmt.Errorf("line %d: key %q is there twice", line, key)
	}
	switch entry.Value.Type() {
	case ast.StringType, ast.IntegerType, ast.FloatType, ast.BoolType:
		f[key] = entry.Value.GetToken().Value
		return nil
	default:
		return fmt.Errorf("line %d: the value of %q must be a text or a number", line, key)
	}
}
