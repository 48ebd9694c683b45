package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/unicorn-web-services/uws/test/stories"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

// download requests a path of the server.
func download(t *testing.T, p *uwstest.Process, path string) (int, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+p.Token)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, body
}

// One object of a bucket's backup is read without restoring it, whatever its key is, and after the bucket is gone.
func TestObjectsOfBackups(t *testing.T) {
	p, place := serve(t, folder(t)), filepath.Join(uwstest.Folder(t), "backups")
	b := launch(t, p, "BUCKET", "media", nil)
	client, err := stories.S3Client(b.Endpoint, reveal(t, p, b.ID))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]byte{
		"photos/plain.txt": []byte("hello"), "photos/ü/日本語 ✓&=?#%20.txt": []byte("umlaut"), "photos/new\nline": []byte("two lines"),
		"photos/" + strings.Repeat("y/", 400) + "z": []byte("deep"), "videos/large.mp4": bytes.Repeat([]byte("0123456789abcdef"), 1<<20),
	}
	for _, bucket := range []string{"photos", "videos"} {
		if err := client.MakeBucket(t.Context(), bucket, minio.MakeBucketOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range want {
		bucket, key, _ := strings.Cut(name, "/")
		if _, err := client.PutObject(t.Context(), bucket, key, bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	target, _ := stories.Target(t, p, "disk", place)
	backup := stories.BackUp(t, p, b.ID, target).ID
	stopped := launch(t, p, "DB", "shop", nil)
	files := stories.BackUp(t, p, stopped.ID, target).ID
	stories.Remove(t, p, b.ID, "DELETE")

	type object struct {
		Bucket, Key, URL string
		Bytes            float64
	}
	list := func(prefix string, first int) (all []object) {
		t.Helper()
		for after, more := any(nil), true; more; {
			var page struct {
				BackupObjects struct {
					Nodes    []object
					PageInfo struct {
						HasNextPage bool
						EndCursor   *string
					}
				}
			}
			err := p.Query(t.Context(), `query($i: ID!, $p: String!, $f: Int, $a: ID) { backupObjects(id: $i, prefix: $p, first: $f, after: $a) { nodes { bucket key url bytes } pageInfo { hasNextPage endCursor } } }`,
				map[string]any{"i": backup, "p": prefix, "f": first, "a": after}, &page)
			if err != nil || len(page.BackupObjects.Nodes) > first {
				t.Fatal(err, len(page.BackupObjects.Nodes))
			}
			all = append(all, page.BackupObjects.Nodes...)
			after, more = page.BackupObjects.PageInfo.EndCursor, page.BackupObjects.PageInfo.HasNextPage
		}
		return all
	}
	all := list("", 2)
	if len(all) != len(want) || len(list("photos/", 1000)) != 4 || len(list("videos/l", 1000)) != 1 || len(list("none", 1000)) != 0 {
		t.Errorf("listed are %+v", all)
	}
	for _, o := range all {
		content, ok := want[o.Bucket+"/"+o.Key]
		if status, got := download(t, p, o.URL); !ok || status != http.StatusOK || !bytes.Equal(got, content) || o.Bytes != float64(len(content)) {
			t.Errorf("%+v: %d, %d bytes, want %d", o, status, len(got), len(content))
		}
	}
	refused := func(path string, code int, text string) {
		t.Helper()
		if status, body := download(t, p, path); status != code || !strings.Contains(string(body), text) {
			t.Errorf("%s: %d %s, want %d with %q", path, status, body, code, text)
		}
	}
	refused("/backups/"+backup+"/object?bucket=photos&key=../../plain.txt", 404, "has no object")
	refused("/backups/"+files+"/object?bucket=photos&key=plain.txt", 409, "files of an engine")
	refused("/backups/none/object?bucket=photos&key=plain.txt", 404, "none")
	objectsByCommands(t, p, backup)

	if err := os.Rename(place, place+"-away"); err != nil {
		t.Fatal(err)
	}
	refused("/backups/"+backup+"/object?bucket=photos&key=plain.txt", 503, "cannot be read now")
	err = p.Query(t.Context(), `query($i: ID!) { backupObjects(id: $i) { nodes { key } } }`, map[string]any{"i": backup}, nil)
	wantError(t, err, "UNAVAILABLE", "cannot be read now")
}

// objectsByCommands lists and reads objects with the command line.
func objectsByCommands(t *testing.T, p *uwstest.Process, backup string) {
	t.Helper()
	s := shell{t, []string{"HOME=" + t.TempDir(), "UWS_URL=" + p.URL, "UWS_TOKEN=" + p.Token}}
	s.want([]string{"photos/plain.txt", "5 B", "videos/large.mp4"}, "backup", "objects", backup)
	if only := s.want(nil, "backup", "objects", backup, "videos/"); strings.Contains(only, "photos") {
		t.Errorf("with a prefix: %s", only)
	}
	var listed []struct{ Key string }
	if err := json.Unmarshal([]byte(s.want(nil, "backup", "objects", backup, "-o", "json")), &listed); err != nil || len(listed) != 5 {
		t.Errorf("%+v, %v", listed, err)
	}
	if got := s.want(nil, "backup", "cat", backup, "photos/new\nline"); got != "two lines" {
		t.Errorf("cat prints %q", got)
	}
	file := filepath.Join(t.TempDir(), "large.mp4")
	s.want([]string{"is in " + file}, "backup", "cat", backup, "videos/large.mp4", "--file", file)
	if info, err := os.Stat(file); err != nil || info.Size() != 16<<20 {
		t.Errorf("%v, %v", info, err)
	}
	s.fails(1, "exists", "backup", "cat", backup, "photos/plain.txt", "--file", file)
	s.fails(3, "has no object", "backup", "cat", backup, "photos/none")
	s.fails(1, fmt.Sprintf("uws backup objects %s", backup), "backup", "cat", backup, "photos")
}
