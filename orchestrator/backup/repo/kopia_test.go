package repo

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// kopiaProgram builds kopia's own program, which needs modules that uws does not.
func kopiaProgram(t *testing.T) func(t *testing.T, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "kopia")
	if out, err := exec.Command("go", "build", "-modfile=../../../tools/kopia/go.mod", "-o", program, "github.com/kopia/kopia").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	return func(t *testing.T, args ...string) string {
		t.Helper()
		cmd := exec.Command(program, args...)
		cmd.Env = append(os.Environ(), "HOME="+dir, "KOPIA_CHECK_FOR_UPDATES=false", "KOPIA_CACHE_DIRECTORY="+filepath.Join(dir, "cache"))
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("kopia %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.String())
		}
		return string(out)
	}
}

// tree returns what is below a folder: the mode, time and data of each file by its path.
func tree(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	must(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, path)
		switch {
		case d.IsDir():
			all[name] = info.Mode().String()
		case info.Mode()&fs.ModeSymlink != 0:
			all[name], err = os.Readlink(path)
		default:
			var data []byte
			data, err = os.ReadFile(path)
			all[name] = fmt.Sprintf("%s %s %s", info.Mode(), info.ModTime().UTC().Format(time.RFC3339Nano), data)
		}
		return err
	}))
	return all
}

// The kopia program, which others wrote, lists, verifies and restores what we saved, without uws: a deep tree of more than
// 1,000 files, by the commands of the package's documentation.
func TestKopiaProgram(t *testing.T) {
	kopia := kopiaProgram(t)
	onEach(t, func(t *testing.T, at place) {
		o := options(t, at.Location)
		r := created(t, o)
		items := []item{folderItem("./", 0o750)}
		deep := "deep"
		for range 40 {
			deep += "/er"
		}
		for i := range 1200 {
			items = append(items, fileItem(fmt.Sprintf("%s/%d/file %d", deep[:4+3*(i%40)], i%7, i), fmt.Sprint("data ", i)))
		}
		items = append(items, fileItem("large", random(3<<20+5)))
		link := item{}
		link.h.Typeflag, link.h.Name, link.h.Linkname, link.h.ModTime = '2', "link", "large", someTime
		hard := item{}
		hard.h.Typeflag, hard.h.Name, hard.h.Linkname, hard.h.Mode, hard.h.ModTime = '1', "hard", "large", 0o640, someTime
		items = append(items, link, hard)
		s := saved(t, r, map[string]string{"service": "shop"}, part("data", items...))
		connect := []string{"repository", "connect", "filesystem", "--path", at.Folder}
		if at.S3 != nil {
			connect = []string{
				"repository", "connect", "s3", "--endpoint", strings.TrimPrefix(at.S3.Endpoint, "http://"), "--disable-tls", "--bucket", at.S3.Bucket,
				"--prefix", at.S3.Prefix + "/", "--region", at.S3.Region, "--access-key", at.S3.AccessKey, "--secret-access-key", string(at.S3.SecretKey),
			}
		}
		kopia(t, append(connect, "--password", o.Key.Text())...)
		if list := kopia(t, "snapshot", "list", "--all", "--tags", "service:shop"); !strings.Contains(list, "uws@uws:/uws") {
			t.Errorf("kopia lists:\n%s", list)
		}
		kopia(t, "snapshot", "verify", "--verify-files-percent=100")
		restored := filepath.Join(t.TempDir(), "restored")
		kopia(t, "snapshot", "restore", s.ID, restored)
		kopia(t, "repository", "disconnect")

		var stream bytes.Buffer
		must(t, r.Extract(t.Context(), s.ID, "", &stream, nil))
		ours := t.TempDir()
		untar := exec.Command("tar", "-xp", "-C", ours)
		untar.Stdin = &stream
		if out, err := untar.CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
		got, want := tree(t, filepath.Join(restored, "data")), tree(t, filepath.Join(ours, "data"))
		if len(want) < 1200 || !maps.Equal(got, want) {
			t.Errorf("kopia restored %d files, of %d", len(got), len(want))
			for name := range want {
				if got[name] != want[name] {
					t.Errorf("%s: %.100q, want %.100q", name, got[name], want[name])
					break
				}
			}
		}
	})
}
