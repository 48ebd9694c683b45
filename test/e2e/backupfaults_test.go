package e2e

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/unicorn-web-services/uws/test/stories"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

// small mounts a file system in memory until the test ends.
func small(t *testing.T, dir, options string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
}

// packs are the files of a repository whose names begin with a letter: p of data, and q of what describes it.
func packs(t *testing.T, repository, letter string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(repository, letter), func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".f") {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil || len(paths) == 0 {
		t.Fatalf("there are no %s packs in %s: %v", letter, repository, err)
	}
	return paths
}

// flip changes a bit between each two of so many parts of files. Another call changes it back.
func flip(t *testing.T, paths []string, parts int) {
	t.Helper()
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := 1; i < parts; i++ {
			text[len(text)*i/parts] ^= 1
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A changed bit in the repository turns the state of a service to UNPROVEN by a proof that names it, be it in the data or in what
// describes it. Undamaged, the backup is proven again.
func TestDamagedRepository(t *testing.T) {
	t.Parallel()
	p, place := serve(t, folder(t)), filepath.Join(t.TempDir(), "target")
	target, _ := stories.Target(t, p, "disk", place)
	s := launch(t, p, "DB", "shop", nil)
	stories.Policy(t, p, s.ID, target)
	stories.BackupIs(t, p, s.ID, "OK", "proven")
	backup := stories.NewestBackup(t, p, s.ID)

	data := packs(t, place, "p")
	flip(t, data, 3)
	if b := stories.Prove(t, p, backup); b.Proof.Proven || !strings.Contains(b.Proof.Reason, "/data/") || !strings.Contains(b.Proof.Reason, "damaged") {
		t.Errorf("the proof of damaged data: %+v", b.Proof)
	}
	stories.BackupIs(t, p, s.ID, "UNPROVEN", "is damaged")
	flip(t, data, 3)
	about := packs(t, place, "q")
	flip(t, about, 100)
	err := p.Query(t.Context(), `mutation($i: ID!) { proveBackup(id: $i) { id } }`, map[string]any{"i": backup}, nil)
	if err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Fatalf("proving what cannot be read: %v", err)
	}
	_, reason, _ := strings.Cut(err.Error(), "cannot be read now: ")
	stories.BackupIs(t, p, s.ID, "UNPROVEN", reason)
	flip(t, about, 100)
	stories.Proven(t, p, backup)
}

// A target whose disk is unmounted, or full, makes a service FAILING with the reason, and works again when the disk does. A full
// disk at the node makes it UNPROVEN. Nothing is left behind.
func TestTargetAway(t *testing.T) {
	rooted(t)
	t.Parallel()
	dir, place := folder(t), filepath.Join(uwstest.Folder(t), "target")
	volumes := filepath.Join(dir, "process", "volumes")
	small(t, volumes, "size=64m,mode=711")
	disk := filepath.Join(uwstest.Folder(t), "disk")
	small(t, disk, "size=8m")
	bind := func() {
		t.Helper()
		if err := unix.Mount(disk, place, "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(place, 0o700); err != nil {
		t.Fatal(err)
	}
	bind()
	t.Cleanup(func() { _ = unix.Unmount(place, unix.MNT_DETACH) })
	p := serve(t, dir)
	target, kit := stories.Target(t, p, "disk", place)
	s := launch(t, p, "SECRETS", "vault", nil)
	stories.Policy(t, p, s.ID, target)
	stories.BackupIs(t, p, s.ID, "OK", "proven")

	if err := unix.Unmount(place, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	stories.FailedBackup(t, p, s.ID, target, "mount the disk that holds it")
	stories.BackupIs(t, p, s.ID, "FAILING", "mount the disk that holds it")
	if left, err := os.ReadDir(place); err != nil || len(left) > 0 {
		t.Errorf("below the mount point: %v, %v", left, err)
	}
	bind()
	backup := stories.BackUp(t, p, s.ID, target)
	stories.BackupIs(t, p, s.ID, "OK", "proven")

	ballast := filepath.Join(place, "lost+found")
	if err := os.WriteFile(ballast, make([]byte, 16<<20), 0o600); err == nil {
		t.Fatal("the disk does not get full")
	}
	stories.FailedBackup(t, p, s.ID, target, "is full")
	stories.BackupIs(t, p, s.ID, "FAILING", "is full: make room on it")
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	stories.BackUp(t, p, s.ID, target)
	stories.BackupIs(t, p, s.ID, "OK", "proven")

	before := entries(t, volumes)
	var used unix.Statfs_t
	if err := unix.Statfs(volumes, &used); err != nil {
		t.Fatal(err)
	}
	limit := func(options string) {
		t.Helper()
		if err := unix.Mount("tmpfs", volumes, "tmpfs", unix.MS_REMOUNT, options); err != nil {
			t.Fatal(err)
		}
	}
	inodes := used.Files - used.Ffree
	limit("nr_inodes=" + strconv.FormatUint(inodes+2, 10))
	if b := stories.Prove(t, p, backup.ID); b.Proof.Proven || !strings.Contains(b.Proof.Reason, syscall.ENOSPC.Error()) {
		t.Errorf("the proof on a full disk: %+v", b.Proof)
	}
	stories.BackupIs(t, p, s.ID, "UNPROVEN", syscall.ENOSPC.Error())
	if after := entries(t, volumes); after != before {
		t.Errorf("the volumes were %s, and are %s", before, after)
	}
	limit("nr_inodes=0")
	wrongKits(t, p, kit)
}

// entries are the names in a folder.
func entries(t *testing.T, dir string) string {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range all {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// wrongKits takes over a target by kits that are wrong, and makes targets where something else is.
func wrongKits(t *testing.T, p *uwstest.Process, kit string) {
	t.Helper()
	other := serve(t, folder(t))
	_, another := stories.Target(t, other, "another", filepath.Join(t.TempDir(), "target"))
	line := func(kit, name string) string {
		_, rest, _ := strings.Cut(kit, "\n"+name+": ")
		value, _, _ := strings.Cut(rest, "\n")
		return name + ": " + value
	}
	foreign := t.TempDir()
	for _, name := range []string{"keys", "snapshots", "data"} {
		if err := os.Mkdir(filepath.Join(foreign, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(foreign, "config"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for text, change := range map[string]func() string{
		"the key is not the one of this repository": func() string { return strings.Replace(kit, line(kit, "key"), line(another, "key"), 1) },
		"a restic repository":                       func() string { return strings.Replace(kit, line(kit, "folder"), "folder: "+foreign, 1) },
		"there is no repository at":                 func() string { return strings.Replace(kit, line(kit, "folder"), "folder: "+t.TempDir(), 1) },
	} {
		err := other.Query(t.Context(), `mutation($k: String!) { importBackupTarget(input: {name: "old", recoveryKit: $k}) { id } }`, map[string]any{"k": change()}, nil)
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("taking over by a wrong kit: %v, want %q", err, text)
		}
	}
	err := p.Query(t.Context(), `mutation($f: String!) { createBackupTarget(input: {name: "foreign", folder: $f}) { id } }`, map[string]any{"f": foreign}, nil)
	if err == nil || !strings.Contains(err.Error(), "there is a restic repository") {
		t.Errorf("a target where a foreign repository is: %v", err)
	}
}
