package catalog

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

//go:embed templates
var embedded embed.FS

// maxFiles of a user's folder.
const maxFiles = 1000

// Catalog is a checked set of templates. It never changes, so any number may read it.
type Catalog struct {
	templates []Template // by name
}

// Load reads the embedded templates and those of the user's folder, unless that is empty: files that
// end in .yaml or .yml and do not begin with a dot. A template there replaces an embedded one of the same
// name, and one marked default takes that place from the embedded default of its kind. All mistakes in all
// files are joined into one error, a [*Mistake] each.
func Load(userDir string, check ProbeCheck) (*Catalog, error) {
	all, err := loadEmbedded(check)
	if err != nil {
		return nil, err
	}
	if userDir != "" {
		own, err := loadFolder(userDir, check)
		if err != nil {
			return nil, err
		}
		if all, err = merge(all, own); err != nil {
			return nil, err
		}
	}
	if err := oneDefaultPerKind(all); err != nil {
		return nil, err
	}
	c := &Catalog{}
	for _, p := range all {
		c.templates = append(c.templates, p.Template)
	}
	slices.SortFunc(c.templates, func(a, b Template) int { return cmp.Compare(a.Name, b.Name) })
	return c, nil
}

// All templates, by name.
func (c *Catalog) All() []Template {
	all := make([]Template, len(c.templates))
	for i, t := range c.templates {
		all[i] = t.clone()
	}
	return all
}

// Lookup finds a template by name.
func (c *Catalog) Lookup(name string) (Template, bool) {
	return c.find(func(t Template) bool { return t.Name == name })
}

// Default finds the template that is taken when a launch names only the kind.
func (c *Catalog) Default(kind Kind) (Template, bool) {
	return c.find(func(t Template) bool { return t.Kind == kind && t.Default })
}

func (c *Catalog) find(match func(Template) bool) (Template, bool) {
	if i := slices.IndexFunc(c.templates, match); i >= 0 {
		return c.templates[i].clone(), true
	}
	return Template{}, false
}

func loadEmbedded(check ProbeCheck) ([]*parsed, error) {
	entries, err := embedded.ReadDir("templates")
	if err != nil {
		return nil, fmt.Errorf("read the embedded templates: %w", err)
	}
	var all []*parsed
	var mistakes []error
	for _, e := range entries {
		name := "templates/" + e.Name()
		data, err := embedded.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read the embedded templates: %w", err)
		}
		p, err := parse("embedded "+name, data, check)
		if err != nil {
			mistakes = append(mistakes, err)
			continue
		}
		p.embedded = true
		all = append(all, p)
	}
	return all, errors.Join(mistakes...)
}

func loadFolder(dir string, check ProbeCheck) ([]*parsed, error) {
	// Asked before opening, which would wait for ever on a named pipe.
	if info, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("open the folder of templates: %w", err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("open the folder of templates: %s is not a folder", dir)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read the folder of templates: %w", err)
	}
	var all []*parsed
	var mistakes []error
	for _, e := range entries {
		name := e.Name()
		if ext := filepath.Ext(name); strings.HasPrefix(name, ".") || (ext != ".yaml" && ext != ".yml") {
			continue
		}
		if len(all)+len(mistakes) == maxFiles {
			mistakes = append(mistakes, fmt.Errorf("%s: holds more than %d templates", dir, maxFiles))
			break
		}
		path := filepath.Join(dir, name)
		data, err := readFile(path)
		if err != nil {
			mistakes = append(mistakes, err)
			continue
		}
		p, err := parse(path, data, check)
		if err != nil {
			mistakes = append(mistakes, err)
			continue
		}
		all = append(all, p)
	}
	return all, errors.Join(mistakes...)
}

// readFile reads a regular file of at most maxFileBytes, or one that a symbolic link leads to.
func readFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a named pipe must not hold us up
	if err != nil {
		return nil, fmt.Errorf("read template: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return nil, fmt.Errorf("read template: %w", err)
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read template: %s is not a regular file", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read template: %w", err)
	}
	if len(data) > maxFileBytes {
		return nil, fmt.Errorf("read template: %s is larger than %d KiB", path, maxFileBytes>>10)
	}
	return data, nil
}

// merge puts the user's templates over the embedded ones.
func merge(base, own []*parsed) ([]*parsed, error) {
	var mistakes []error
	byName := make(map[string]*parsed)
	ownDefault := make(map[Kind]bool)
	for _, p := range own {
		if other, ok := byName[p.Name]; ok {
			mistakes = append(mistakes, p.mistake("name", "is %q, which %s has too; names must differ", p.Name, other.file))
		}
		byName[p.Name] = p
		ownDefault[p.Kind] = ownDefault[p.Kind] || p.Default
	}
	all := slices.Clone(own)
	for _, p := range base {
		if byName[p.Name] != nil {
			continue
		}
		if ownDefault[p.Kind] {
			p.Default = false
		}
		all = append(all, p)
	}
	return all, errors.Join(mistakes...)
}

func oneDefaultPerKind(all []*parsed) error {
	var mistakes []error
	for _, kind := range Kinds() {
		var first, chosen *parsed
		for _, p := range all {
			if p.Kind != kind {
				continue
			}
			if first == nil {
				first = p
			}
			if p.Default && chosen != nil {
				mistakes = append(mistakes, p.mistake("default", "is true, and %s is a default of %s too; keep one", chosen.file, kind))
			} else if p.Default {
				chosen = p
			}
		}
		if first != nil && chosen == nil {
			mistakes = append(mistakes, first.mistake("default", "is not set, and no other template is the default of %s; set default: true in one", kind))
		}
	}
	return errors.Join(mistakes...)
}

func (p *parsed) mistake(field, format string, args ...any) error {
	pos := p.where(field)
	return &Mistake{
		File: p.file, Line: pos.Line, Column: pos.Column, Field: field,
		Message: field + ": " + fmt.Sprintf(format, args...),
	}
}
