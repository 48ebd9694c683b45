package catalog

import (
	"strings"
	"testing"
)

func TestImages(t *testing.T) {
	own := strings.Replace(container(), "default: true\n", "", 1)
	c, err := Load(write(t, "a.yaml", own), anyProbe)
	if err != nil {
		t.Fatal(err)
	}
	images, err := ParseImages(" nats = my.example:5000/nats:2@sha256:0a , mine=b/c:1,")
	if err != nil {
		t.Fatal(err)
	}
	changed, err := c.WithImages(images)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"nats": "my.example:5000/nats:2@sha256:0a", "mine": "b/c:1", "postgres": "postgres:18"} {
		if got, _ := changed.Lookup(name); got.Docker.Image != want {
			t.Errorf("%s has image %s", name, got.Docker.Image)
		}
	}
	if got, _ := c.Lookup("nats"); got.Docker.Image != "nats:2.15.2" {
		t.Error("the catalog itself was changed")
	}
}

func TestImageMistakes(t *testing.T) {
	c, err := Load(write(t, "a.yaml", strings.Replace(good, "default: true\n", "", 1)), anyProbe)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"nats":              `"nats" is not a pair; must be a template and its image, such as "nats=my/nats:2.15.2"`,
		"=a":                `"=a" is not a pair`,
		"nats=":             `the image of template "nats" is ""; must be an image reference such as "postgres:18"`,
		"nats=A b":          `the image of template "nats" is "A b"; must be`,
		"nats=a,nats=b":     `template "nats" is listed twice; keep one`,
		"natz=a":            `there is no template "natz"; those with an image are ferretdb, mongodb, nats, openbao,`,
		"mine=a":            `template "mine" has no image, since Docker does not run it; those that have one are ferretdb, mongodb,`,
		"\x1b[31m=\x1b[31m": `the image of template "\x1b[31m" is "\x1b[31m"`,
	} {
		images, err := ParseImages(text)
		if err == nil {
			_, err = c.WithImages(images)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error is %v, want %s", text, err, want)
		}
	}
	if _, err := ParseImages("a,b"); strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("not both mistakes: %v", err)
	}
}
