package catalog

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Images maps names of templates to the images to use for them.
type Images map[string]string

// ParseImages parses a list such as "nats=my/nats:2.15.2, postgres=my/postgres:18". It joins all mistakes into one
// error.
func ParseImages(text string) (Images, error) {
	images := make(Images)
	var mistakes []error
	for pair := range strings.SplitSeq(text, ",") {
		if pair = strings.TrimSpace(pair); pair == "" {
			continue
		}
		name, image, found := strings.Cut(pair, "=")
		name, image = strings.TrimSpace(name), strings.TrimSpace(image)
		switch {
		case !found || name == "":
			mistakes = append(mistakes, fmt.Errorf(`%s is not a pair; must be a template and its image, such as "nats=my/nats:2.15.2"`, quote(pair)))
		case images[name] != "":
			mistakes = append(mistakes, fmt.Errorf("template %s is listed twice; keep one", quote(name)))
		case !imageRule.pattern.MatchString(image):
			mistakes = append(mistakes, fmt.Errorf("the image of template %s is %s; must be %s", quote(name), quote(image), imageRule.words))
		default:
			images[name] = image
		}
	}
	return images, errors.Join(mistakes...)
}

// WithImages returns a copy of the catalog with the images replaced. It fails for templates that do not exist or that
// Docker does not run, and joins all mistakes into one error.
func (c *Catalog) WithImages(images Images) (*Catalog, error) {
	changed := &Catalog{templates: c.All()}
	seen := make(map[string]bool)
	var onDocker []string
	for _, t := range changed.templates {
		if t.Docker == nil {
			continue
		}
		onDocker = append(onDocker, t.Name)
		if image, ok := images[t.Name]; ok {
			t.Docker.Image, seen[t.Name] = image, true
		}
	}
	var mistakes []error
	for name := range images {
		if _, ok := c.Lookup(name); ok && !seen[name] {
			mistakes = append(mistakes, fmt.Errorf("template %s has no image, since Docker does not run it; those that have one are %s", quote(name), strings.Join(onDocker, ", ")))
		} else if !ok {
			mistakes = append(mistakes, fmt.Errorf("there is no template %s; those with an image are %s", quote(name), strings.Join(onDocker, ", ")))
		}
	}
	slices.SortFunc(mistakes, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return changed, errors.Join(mistakes...)
}
