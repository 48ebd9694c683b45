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

// maxFiles is the maximum number of templates in a user's folder.
const maxFiles = 1000

// Catalog is a validated set of templates. It is immutable and safe for concurrent use.
type Catalog struct {
	templates []Template // sorted by name
}

// Load reads the embedded templates and those in the user's folder, unless userDir is empty. In the folder it reads the
// files that end in .yaml or .yml and do not begin with a dot. A template there replaces an embedded template of the
// same name. A template there that is marked default replaces the embedded default of its kind, for the drivers that it
// supports. Load reports the mistakes in all files as one joined error, one [*Mistake] each.
func Load(userDir string, probes Probes) (*Catalog, error) {
	all, err := loadEmbedded(probes)
	if err != nil {
		return nil, err
	}
	if userDir != "" {
		own, err := loadFolder(userDir, probes)
		if err != nil {
			return nil, err
		}
		if all, err = merge(all, own); err != nil {
			return nil, err
		}
	}
	if err := oneDefaultEach(all); err != nil {
		return nil, err
	}
	c := &Catalog{}
	for _, p := range all {
		c.templates = append(c.templates, p.Template)
	}
	slices.SortFunc(c.templates, func(a, b Template) int { return cmp.Compare(a.Name, b.Name) })
	return c, nil
}

// All returns all templates, sorted by name.
func (c *Catalog) All() []Template {
	all := make([]Template, len(c.templates))
	for i, t := range c.templates {
		all[i] = t.clone()
	}
	return all
}

// Lookup returns the template with the given name.
func (c *Catalog) Lookup(name string) (Template, bool) {
	return c.find(func(t Template) bool { return t.Name == name })
}

// Default returns the template for a launch that names only a kind: the default of the first driver that has one.
func (c *Catalog) Default(kind Kind, drivers ...Driver) (Template, bool) {
	for _, d := range drivers {
		if t, ok := c.find(func(t Template) bool { return t.Kind == kind && slices.Contains(t.DefaultOn(), d) }); ok {
			return t, true
		}
	}
	return Template{}, false
}

func (c *Catalog) find(match func(Template) bool) (Template, bool) {
	if i := slices.IndexFunc(c.templates, match); i >= 0 {
		return c.templates[i].clone(), true
	}
	return Template{}, false
}

func loadEmbedded(probes Probes) ([]*parsed, error) {
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
		p, err := parse("embedded "+name, data, probes)
		if err != nil {
			mistakes = append(mistakes, err)
			continue
		}
		p.embedded = true
		all = append(all, p)
	}
	return all, errors.Join(mistakes...)
}

func loadFolder(dir string, probes Probes) ([]*parsed, error) {
	// Check the type first: opening a named pipe would block.
	if info, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("open the folder of templates: %w", err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("open the folder of templates: %s is not a folder", dir)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the folder of templates: %w", err)
	}
	defer root.Close()
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
		data, err := readFile(root, name)
		if err != nil {
			mistakes = append(mistakes, err)
			continue
		}
		p, err := parse(path, data, probes)
		if err != nil {
			mistakes = append(mistakes, err)
			continue
		}
		all = append(all, p)
	}
	return all, errors.Join(mistakes...)
}

// readFile reads a regular file of at most maxFileBytes. A symbolic link is followed inside the folder, as Kubernetes
// volumes need, but not out of it: write access to the folder must not give access to all files that uws can read.
func readFile(root *os.Root, name string) ([]byte, error) {
	path := filepath.Join(root.Name(), name)
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // do not block on a named pipe
	if err != nil {
		return nil, fmt.Errorf("read template %s: %w", path, err)
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

// place identifies a default: there is one for each kind and driver.
type place struct {
	kind   Kind
	driver Driver
}

// merge overlays the user's templates on the embedded ones.
func merge(base, own []*parsed) ([]*parsed, error) {
	var mistakes []error
	byName := make(map[string]*parsed)
	taken := make(map[place]bool)
	for _, p := range own {
		if other, ok := byName[p.Name]; ok {
			mistakes = append(mistakes, p.mistake("name", "is %q, which %s has too; names must differ", p.Name, other.file))
		}
		byName[p.Name] = p
		for _, d := range p.DefaultOn() {
			taken[place{p.Kind, d}] = true
		}
	}
	all := slices.Clone(own)
	for _, p := range base {
		if byName[p.Name] != nil {
			continue
		}
		for _, d := range p.DefaultOn() {
			if taken[place{p.Kind, d}] {
				p.yield(d)
			}
		}
		all = append(all, p)
	}
	return all, errors.Join(mistakes...)
}

// oneDefaultEach checks that each kind has exactly one default for each driver that any of its templates supports.
func oneDefaultEach(all []*parsed) error {
	var mistakes []error
	for _, kind := range Kinds() {
		for _, d := range Drivers() {
			mistakes = append(mistakes, oneDefault(all, kind, d))
		}
	}
	return errors.Join(mistakes...)
}

func oneDefault(all []*parsed, kind Kind, d Driver) error {
	var mistakes []error
	var first, chosen *parsed
	for _, p := range all {
		if p.Kind != kind || p.runtime(d) == nil {
			continue
		}
		if first == nil {
			first = p
		}
		if !slices.Contains(p.DefaultOn(), d) {
			continue
		}
		if chosen != nil {
			mistakes = append(mistakes, p.mistake(p.defaultField(d), "is true, and %s is a default of %s for %s too; keep one", chosen.file, kind, d))
		}
		chosen = p
	}
	if first != nil && chosen == nil {
		mistakes = append(mistakes, first.mistake("default", "is not set, and no other template is the default of %s for %s; set default: true in one", kind, d))
	}
	return errors.Join(mistakes...)
}

// defaultField returns the field that marks the template as the default for a driver.
func (p *parsed) defaultField(d Driver) string {
	if p.Default {
		return "default"
	}
	return strings.ToLower(string(d)) + ".default"
}

func (p *parsed) mistake(field, format string, args ...any) error {
	pos := p.where(field)
	return &Mistake{
		File: p.file, Line: pos.Line, Column: pos.Column, Field: field,
		Message: field + ": " + fmt.Sprintf(format, args...),
	}
}
