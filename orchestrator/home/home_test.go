package home

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func look(t *testing.T, dir string) Home {
	t.Helper()
	h, err := Look(dir)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
}

func TestMoved(t *testing.T) {
	full := Home{Path: "/no/such/a", Inode: 1, Birth: 2, FileSystem: "f", Machine: "m"}
	for name, c := range map[string]struct {
		change func(*Home)
		want   string
	}{
		"nothing":        {func(*Home) {}, ""},
		"path":           {func(h *Home) { h.Path = "/no/such/b" }, "now is at /no/such/b"},
		"inode":          {func(h *Home) { h.Inode = 9 }, "created again"},
		"birth":          {func(h *Home) { h.Birth = 9 }, "created again"},
		"file system":    {func(h *Home) { h.FileSystem = "g" }, "another file system"},
		"machine":        {func(h *Home) { h.Machine = "n" }, "another machine"},
		"unknown by now": {func(h *Home) { *h = Home{Path: h.Path} }, ""},
	} {
		now := full
		c.change(&now)
		if got := full.Moved(now); got == "" != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if name == "unknown by now" && now.Moved(full) != "" {
			t.Errorf("%s, the other way round: %q", name, now.Moved(full))
		}
	}
}

// On every file system, a copy is another folder wherever it is, and a link is the same folder.
func TestCopies(t *testing.T) {
	for _, root := range []string{t.TempDir(), tmpfs(t), overlay(t)} {
		dir, copied, link := filepath.Join(root, "data"), filepath.Join(root, "copy"), filepath.Join(root, "link")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		was := look(t, dir)
		t.Logf("%+v", was)
		command(t, "cp", "-a", dir, copied)
		command(t, "ln", "-s", dir, link)
		if moved := was.Moved(look(t, link)); moved != "" {
			t.Errorf("by a link: %s", moved)
		}
		if was.Moved(look(t, copied)) == "" {
			t.Error("a copy is taken for the original")
		}
		command(t, "mv", dir, dir+".old")
		command(t, "mv", copied, dir)
		if was.Moved(look(t, dir)) == "" {
			t.Error("a copy in the place of the original is taken for it")
		}
	}
}

func tmpfs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	mount(t, "tmpfs", dir, "tmpfs", "")
	return dir
}

func overlay(t *testing.T) string {
	t.Helper()
	base, dir := tmpfs(t), t.TempDir()
	for _, name := range []string{"lower", "upper", "work"} {
		if err := os.Mkdir(filepath.Join(base, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	mount(t, "overlay", dir, "overlay", "lowerdir="+base+"/lower,upperdir="+base+"/upper,workdir="+base+"/work")
	return dir
}

func mount(t *testing.T, source, dir, kind, options string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: mounting needs root; CI runs this as root")
	}
	if err := unix.Mount(source, dir, kind, 0, options); err != nil {
		t.Fatalf("mounting %s: %v", kind, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// A file system that is mounted again from another device, as after a reboot, is the same. A copy of its image, which
// has the same UUID and inodes, is another.
func TestLoopDevices(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: loop devices need root; CI runs this as root")
	}
	dir := t.TempDir()
	image, other := filepath.Join(dir, "image"), filepath.Join(dir, "other")
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	command(t, "mkdir", a, b)
	command(t, "truncate", "-s", "16M", image)
	command(t, "mkfs.ext4", "-q", image)
	loop := func(image, at string) (unmount func()) {
		command(t, "mount", "-o", "loop", image, at)
		return func() { command(t, "umount", at) }
	}
	unmount := loop(image, a)
	data := filepath.Join(a, "data")
	command(t, "mkdir", data)
	was := look(t, data)
	device := deviceOf(t, data)
	t.Logf("%+v", was)
	unmount()
	command(t, "cp", image, other)

	defer loop(other, b)() // takes the loop device that was freed
	defer loop(image, a)()
	if deviceOf(t, data) == device {
		t.Fatal("the device is the same; this tests nothing")
	}
	if moved := was.Moved(look(t, data)); moved != "" {
		t.Errorf("mounted again from another device: %s", moved)
	}
	if moved := was.Moved(look(t, filepath.Join(b, "data"))); !strings.Contains(moved, filepath.Join(b, "data")) {
		t.Errorf("the copy of the image: %q", moved)
	}
}

func deviceOf(t *testing.T, path string) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Dev
}
