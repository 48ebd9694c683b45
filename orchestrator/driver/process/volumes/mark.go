package volumes

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/unicorn-web-services/uws/internal/fsync"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// Recognise checks that there is such a volume and that its content is what data describes, see [driver.Data.Recognise].
// Errors: [driver.DataMissing] if there is no such volume.
func (s *Store) Recognise(data driver.Data) error {
	if _, err := s.info(data.Volume); err != nil || !data.Used {
		return err
	}
	root, err := os.OpenRoot(s.Folder(data.Volume)) // does not follow links of the engine out of the folder
	if err != nil {
		return fmt.Errorf("looking at the data %s: %w", data.Volume, err)
	}
	defer root.Close()
	return data.Recognise("the folder "+s.Folder(data.Volume), content{root})
}

// content is the root folder of a volume.
type content struct{ *os.Root }

func (c content) MarkText() (string, error) {
	f, err := c.OpenFile(driver.MarkFile, os.O_RDONLY|syscall.O_NONBLOCK, 0) // the engine may have put anything there
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

// Mark writes the mark of a volume with a note.
func (s *Store) Mark(volume, note string) error {
	owner, err := s.Owner(volume)
	if err != nil {
		return err
	}
	if err := writeMark(s.Folder(volume), driver.MarkText(volume, note), owner); err != nil {
		return fmt.Errorf("marking the data %s: %w", volume, err)
	}
	return fsync.Path(s.Folder(volume))
}

// ReadMark returns the mark of a volume; empty if it has none.
// Errors: [driver.DataMissing] if there is no such volume.
func (s *Store) ReadMark(volume string) (string, error) {
	if _, err := s.info(volume); err != nil {
		return "", err
	}
	root, err := os.OpenRoot(s.Folder(volume))
	if err != nil {
		return "", fmt.Errorf("looking at the data %s: %w", volume, err)
	}
	defer root.Close()
	return content{root}.MarkText()
}

// writeMark writes the mark file under another name first, so that it is never incomplete.
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
	if err == nil && ownUIDs() {
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
