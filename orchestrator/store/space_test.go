package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The error of a write to a full disk names the data folder.
func TestFullStoreNamesItsFolder(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.writer.ExecContext(t.Context(), "PRAGMA max_page_count = 1"); err != nil { // as if the disk were full
		t.Fatal(err)
	}
	for i := 0; err == nil && i < 1000; i++ {
		err = s.Write.Audit.Create().SetAt(time.Now()).SetActor("").SetCredential("").SetRole("").SetAddress("").SetDoor("").SetAction("x").
			SetTarget("").SetDetail(strings.Repeat("x", 5000)).SetResult("").SetMessage("").Exec(t.Context())
	}
	full, ok := errors.AsType[*FullError](err)
	if !ok || full.Dir != dir || !DiskFull(err) || s.Full() == nil {
		t.Errorf("%T %v; full: %v", err, err, s.Full())
	}
	if changed, err := s.CheckSpace(); !changed || err != nil || s.Full() != nil {
		t.Errorf("the disk has room: changed %t, %v, %v", changed, err, s.Full())
	}
}

func TestReserve(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	size := func() int64 {
		info, err := os.Stat(filepath.Join(dir, reserveName))
		if err != nil {
			return -1
		}
		return info.Size()
	}
	check := func() {
		if _, err := s.CheckSpace(); err != nil {
			t.Fatal(err)
		}
	}
	check()
	if size() != -1 {
		t.Error("a reserve that nobody asked for")
	}
	s.Reserve()
	check()
	if size() != reserveSize {
		t.Fatalf("reserved %d bytes", size())
	}
	full := &FullError{Dir: dir, Err: syscall.ENOSPC}
	tries := 0
	if err := s.Do(t.Context(), func() error { tries++; return full }); !errors.Is(err, full) || tries != 1 || size() != reserveSize {
		t.Errorf("without relief: %v after %d tries, %d bytes left", err, tries, size())
	}
	if err := s.Do(WithRelief(t.Context()), func() error {
		if tries++; tries < 5 {
			return full
		}
		return nil
	}); err != nil || size() != reserveSize-3*reserveSlice {
		t.Errorf("with relief: %v, %d bytes left", err, size())
	}
	if err := s.Do(WithRelief(t.Context()), func() error { return full }); !errors.Is(err, full) || size() != 0 {
		t.Errorf("in vain: %v, %d bytes left", err, size())
	}
	check()
	if size() != reserveSize {
		t.Errorf("with room again: %d bytes", size())
	}
}
