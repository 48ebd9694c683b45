package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/process/folders"
)

// volumeInfo describes the folder of a volume.
// Errors: [driver.DataMissing] if there is none.
func (d *Driver) volumeInfo(volume string) (fs.FileInfo, error) {
	info, err := os.Lstat(d.volumeDir(volume))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, driver.Errorf(driver.DataMissing, "the data %s is missing: there is no folder %s", volume, d.volumeDir(volume))
	case err != nil:
		return nil, fmt.Errorf("looking at the data %s: %w", volume, err)
	case !info.IsDir():
		return nil, driver.Errorf(driver.DataMissing, "the data %s is missing: %s is not a folder", volume, d.volumeDir(volume))
	}
	return info, nil
}

// recognise returns [driver.DataMissing] if there is no such volume, or its folder is something else, see
// [driver.Data.Recognise].
func (d *Driver) recognise(data driver.Data) error {
	if _, err := d.volumeInfo(data.Volume); err != nil || !data.Used {
		return err
	}
	root, err := os.OpenRoot(d.volumeDir(data.Volume)) // links that the engine left lead nowhere else
	if err != nil {
		return fmt.Errorf("looking at the data %s: %w", data.Volume, err)
	}
	defer root.Close()
	return data.Recognise("the folder "+d.volumeDir(data.Volume), content{root})
}

// content is the root folder of a volume.
type content struct{ *os.Root }

func (c content) MarkText() (string, error) {
	f, err := c.OpenFile(driver.MarkFile, os.O_RDONLY|syscall.O_NONBLOCK, 0) // whatever the engine put there
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading the mark of a volume: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, driver.MaxMark))
	return string(text), err
}

func (c content) Has(path string) (bool, error) {
	_, err := c.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (c content) Empty() (bool, error) {
	dir, err := c.Open(".")
	if err != nil {
		return false, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(3) // two of them may be ignored
	if errors.Is(err, io.EOF) {
		err = nil
	}
	for _, name := range names {
		if !driver.Ignored(name) {
			return false, err
		}
	}
	return true, err
}

// MarkData implements [driver.Driver].
func (d *Driver) MarkData(ctx context.Context, id, note string) error {
	s, unlock, err := d.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	volume, _ := s.uses()
	if volume == "" {
		return driver.Errorf(driver.NotCreated, "service %s is not created on this node", id)
	}
	owner, err := d.volumeOwner(volume)
	if err != nil {
		return err
	}
	if err := writeMark(d.volumeDir(volume), driver.MarkText(volume, note), owner); err != nil {
		return fmt.Errorf("marking the data %s: %w", volume, err)
	}
	return folders.Sync(d.volumeDir(volume))
}

// ReadMark implements [driver.Driver].
func (d *Driver) ReadMark(_ context.Context, volume string) (string, error) {
	if err := driver.CheckID("volume", volume); err != nil {
		return "", err
	}
	if _, err := d.volumeInfo(volume); err != nil {
		return "", err
	}
	root, err := os.OpenRoot(d.volumeDir(volume))
	if err != nil {
		return "", fmt.Errorf("looking at the data %s: %w", volume, err)
	}
	defer root.Close()
	return content{root}.MarkText()
}

// writeMark writes the mark file beside its final name first, so that half of one is never there.
func writeMark(dir, text string, owner uint32) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	const tmp = driver.MarkFile + ".new"
	if err := root.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := root.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err == nil && asRoot() {
		err = f.Chown(int(owner), int(owner))
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return root.Rename(tmp, driver.MarkFile)
}
