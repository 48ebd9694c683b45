package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

// A fileSystem is mounted for a test.
type fileSystem struct {
	t       *testing.T
	base    string
	options string // in addition to loop, so that a copy can be mounted at the same time
}

// mounted creates a folder in the base and mounts a file system there with these arguments of mount.
func (f fileSystem) mounted(name string, options ...string) (at string, unmount func()) {
	f.t.Helper()
	at = filepath.Join(f.base, name)
	command(f.t, "mkdir", "-p", at)
	command(f.t, "mount", append(options, at)...)
	is := true
	unmount = func() {
		if is {
			is = false
			command(f.t, "umount", at)
		}
	}
	f.t.Cleanup(unmount)
	return at, unmount
}

func (f fileSystem) image(name, image string) (at string, unmount func()) {
	f.t.Helper()
	return f.mounted(name, "-o", strings.TrimSuffix("loop,"+f.options, ","), image)
}

// wantHome fails unless a data folder is recognised as the one that was served before.
func wantHome(t *testing.T, what, dir string) {
	t.Helper()
	p := serve(t, dir)
	if _, reason := installation(t, p); reason != "" {
		t.Errorf("%s: %s", what, reason)
	}
	stop(t, p)
}

// wantElsewhere fails unless a data folder is recognised as a copy and served read-only.
func wantElsewhere(t *testing.T, what, dir, why string) {
	t.Helper()
	p, err := uwstest.StartUnready(t.Context(), uwstest.Binary, dir)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if _, reason := installation(t, p); !strings.Contains(reason, why) {
		t.Errorf("%s: served with the reason %q, want read-only: %s", what, reason, why)
	}
	stop(t, p)
}

// inPlace runs act while the folder from is at the path of the folder to.
func inPlace(t *testing.T, from, to string, act func()) {
	t.Helper()
	command(t, "mv", to, to+".aside")
	command(t, "mv", from, to)
	act()
	command(t, "mv", to, from)
	command(t, "mv", to+".aside", to)
}

func deviceOf(t *testing.T, path string) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Dev
}

func rooted(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: mounting needs root; CI runs this as root")
	}
}

// testCopies tests copies of the folder on the same file system.
func testCopies(t *testing.T, dir string, reflink bool) {
	t.Helper()
	copied := copyFolder(t, dir, dir+"-copy")
	wantElsewhere(t, "cp -a", copied, "now is at "+copied)
	inPlace(t, copied, dir, func() { wantElsewhere(t, "cp -a in the place of the original", dir, "created again") })
	if reflink {
		shared := dir + "-shared"
		command(t, "cp", "-a", "--reflink=always", dir, shared)
		command(t, "cp", dir+".token", shared+".token")
		wantElsewhere(t, "cp --reflink", shared, "now is at "+shared)
		inPlace(t, shared, dir, func() { wantElsewhere(t, "cp --reflink in the place of the original", dir, "created again") })
	}
	wantHome(t, "the original after all that", dir)
}

// A data folder is recognised after a reboot, when its file system has another device number, and on another loop device. A copy
// is recognised as one, whether files or the whole file system were copied.
func TestFileSystems(t *testing.T) {
	rooted(t)
	for kind, f := range map[string]struct {
		options string // for mounting a copy at the same time as the original
		reflink bool
		copy    []string // the command that copies an image
		asCopy  string   // reason for refusing a copy of the image at the original's path; empty: it cannot be recognised
	}{
		"ext4":  {copy: []string{"dd", "bs=1M", "status=none", "if=FROM", "of=TO"}},
		"xfs":   {options: "nouuid", reflink: true, copy: []string{"xfs_copy", "FROM", "TO"}, asCopy: "another file system"},
		"btrfs": {reflink: true, copy: []string{"cp", "--reflink=never", "FROM", "TO"}},
	} {
		t.Run(kind, func(t *testing.T) {
			fs := fileSystem{t: t, base: uwstest.Folder(t), options: f.options}
			image, other := filepath.Join(fs.base, "image"), filepath.Join(fs.base, "copied")
			command(t, "truncate", "-s", "512M", image)
			command(t, "mkfs."+kind, "-q", image)
			at, unmount := fs.image("at", image)
			command(t, "chmod", "755", at)
			dir := filepath.Join(at, "data")
			stop(t, serve(t, dir))
			testCopies(t, dir, f.reflink)
			device := deviceOf(t, dir)
			unmount()
			for i, word := range f.copy {
				f.copy[i] = strings.NewReplacer("FROM", image, "TO", other).Replace(word)
			}
			command(t, f.copy[0], f.copy[1:]...)

			_, unmount = fs.image("at", image)
			wantHome(t, "mounted again", dir)
			unmount()

			// The copy is mounted first, and gets the loop device and device number that have become free.
			beside, unmountCopy := fs.image("other", other)
			_, unmount = fs.image("at", image)
			for n := 0; deviceOf(t, dir) == device; n++ {
				if n == 8 {
					t.Fatal("the device number does not change, so that this tests nothing")
				}
				// Something else on this machine took the number of the copy or gave another back: a further file system takes this one.
				unmount()
				name := fmt.Sprint("filler", n)
				command(t, "truncate", "-s", "512M", filepath.Join(fs.base, name+".image"))
				command(t, "mkfs."+kind, "-q", filepath.Join(fs.base, name+".image"))
				fs.image(name, filepath.Join(fs.base, name+".image"))
				_, unmount = fs.image("at", image)
			}
			wantHome(t, "on another device, beside a copy", dir)
			wantElsewhere(t, "the copy of the image", filepath.Join(beside, "data"), "now is at "+beside)
			unmount()
			unmountCopy()
			if f.asCopy != "" {
				_, unmount = fs.image("at", other)
				wantElsewhere(t, "the copy of the image in the place of the original", dir, f.asCopy)
				unmount()
			}
		})
	}
}

// A snapshot of a Btrfs subvolume has the inodes and birth times of its original.
func TestBtrfsSnapshot(t *testing.T) {
	rooted(t)
	fs := fileSystem{t: t, base: uwstest.Folder(t)}
	image := filepath.Join(fs.base, "image")
	command(t, "truncate", "-s", "512M", image)
	command(t, "mkfs.btrfs", "-q", image)
	at, unmount := fs.image("at", image)
	command(t, "chmod", "755", at)
	original, snapshot := filepath.Join(at, "original"), filepath.Join(at, "snapshot")
	command(t, "btrfs", "subvolume", "create", original)
	dir := filepath.Join(original, "data")
	stop(t, serve(t, dir))
	command(t, "btrfs", "subvolume", "snapshot", original, snapshot)
	wantElsewhere(t, "a snapshot", filepath.Join(snapshot, "data"), "another file system")
	inPlace(t, snapshot, original, func() {
		wantElsewhere(t, "a snapshot in the place of the original", dir, "another file system")
	})
	wantHome(t, "the original", dir)
	unmount()
	_, _ = fs.mounted("at", "-o", "loop,subvol=original", image)
	wantHome(t, "the subvolume alone, at its place", bound(t, fs, filepath.Join(at, "data"), dir))
}

// bound mounts the folder from at to with a bind mount.
func bound(t *testing.T, fs fileSystem, from, to string) string {
	t.Helper()
	name, err := filepath.Rel(fs.base, to)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(from + ".token"); err == nil {
		command(t, "mkdir", "-p", filepath.Dir(to))
		command(t, "cp", from+".token", to+".token")
	} else if !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	fs.mounted(name, "--bind", from)
	return to
}

// On tmpfs and overlay a copy is recognised as one too. A bind mount is the original.
func TestMemoryAndOverlay(t *testing.T) {
	rooted(t)
	fs := fileSystem{t: t, base: uwstest.Folder(t)}
	memory, _ := fs.mounted("tmpfs", "-t", "tmpfs", "tmpfs")
	command(t, "chmod", "755", memory)
	dir := filepath.Join(memory, "data")
	stop(t, serve(t, dir))
	testCopies(t, dir, false)
	second, _ := fs.mounted("second", "-t", "tmpfs", "tmpfs")
	kept := copyFolder(t, dir, filepath.Join(second, "data"))
	wantElsewhere(t, "a copy on another tmpfs", kept, "another file system")
	wantHome(t, "a bind mount", bound(t, fs, dir, filepath.Join(fs.base, "bound")))

	command(t, "mkdir", memory+"/lower", memory+"/upper", memory+"/work")
	options := "lowerdir=" + memory + "/lower,upperdir=" + memory + "/upper,workdir=" + memory + "/work"
	over, unmount := fs.mounted("overlay", "-t", "overlay", "-o", options, "overlay")
	dir = filepath.Join(over, "data")
	stop(t, serve(t, dir))
	testCopies(t, dir, false)
	device := deviceOf(t, over)
	unmount()
	fs.mounted("third", "-t", "tmpfs", "tmpfs") // gets the device number that has become free
	fs.mounted("overlay", "-t", "overlay", "-o", options, "overlay")
	if deviceOf(t, over) == device {
		t.Fatal("the device number did not change, so that this tests nothing")
	}
	wantHome(t, "an overlay that is mounted again", dir)
}
