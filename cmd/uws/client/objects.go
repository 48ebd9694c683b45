package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/unicorn-web-services/uws/cmd/uws/client/api"
)

type objectsCommand struct {
	backupFlags `embed:""`
	Prefix      string `arg:"" optional:"" help:"Only objects whose bucket and key, as bucket/key, begin with this."`
	outputFlags `embed:""`
}

// Help implements [kong.HelpProvider].
func (objectsCommand) Help() string {
	return "Example: uws backup objects $(uws backup ls media -o name | head -1) photos/2026/"
}

func (c objectsCommand) Run(ctx context.Context, out *Terminal) error {
	s, err := c.open()
	if err != nil {
		return err
	}
	var all []api.Object
	for after := (*string)(nil); ; {
		page, err := api.ListObjects(ctx, s.api(), c.ID, c.Prefix, after)
		if err != nil {
			return explain(err)
		}
		for _, n := range page.BackupObjects.Nodes {
			all = append(all, n.Object)
		}
		if !page.BackupObjects.PageInfo.HasNextPage {
			break
		}
		after = page.BackupObjects.PageInfo.EndCursor
	}
	return printAll(out, c.Output, table[api.Object]{
		head: []string{"OBJECT", "SIZE", "TYPE", "AGE"},
		row: func(o api.Object) []string {
			return []string{o.Bucket + "/" + o.Key, size(&o.Bytes), text(o.ContentType), age(o.ModifiedAt)}
		},
		name: func(o api.Object) string { return o.Bucket + "/" + o.Key },
	}, all)
}

type catCommand struct {
	backupFlags `embed:""`
	Object      string `arg:"" help:"The object, as bucket/key."`
	File        string `short:"f" placeholder:"FILE" help:"Write it to a new file. Default: standard output."`
}

// Help implements [kong.HelpProvider].
func (catCommand) Help() string {
	return "Example: uws backup cat $(uws backup ls media -o name | head -1) photos/2026/cat.jpg --file cat.jpg"
}

func (c catCommand) Run(ctx context.Context, out *Terminal) error {
	bucket, key, ok := strings.Cut(c.Object, "/")
	if !ok || bucket == "" || key == "" {
		return fmt.Errorf("%q is no object: name it as bucket/key, as `uws backup objects %s` lists it", c.Object, c.ID)
	}
	s, err := c.open()
	if err != nil {
		return err
	}
	content, err := s.object(ctx, c.ID, bucket, key)
	if err != nil {
		return err
	}
	defer content.Close()
	if c.File == "" {
		_, err = io.Copy(out.Out, content)
		return err
	}
	f, err := os.OpenFile(c.File, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(c.File))
	}
	out.Printf("%s is in %s.\n", c.Object, c.File)
	return nil
}

// object requests the content of an object of a backup.
func (s *server) object(ctx context.Context, backup, bucket, key string) (io.ReadCloser, error) {
	address := s.base.JoinPath("backups", url.PathEscape(backup), "object")
	address.RawQuery = url.Values{"bucket": {bucket}, "key": {key}}.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return nil, err
	}
	response, err := s.http.Do(r)
	if err != nil {
		return nil, s.unreachable(err)
	}
	if response.StatusCode != http.StatusOK {
		defer response.Body.Close()
		return nil, refused(response)
	}
	return response.Body, nil
}
