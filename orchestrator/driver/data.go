package driver

import (
	"slices"
	"strings"
	"time"
)

// MarkFile is the name of the file at the root of a volume that tells which volume it is, see [Driver.MarkData].
const MarkFile = ".uws-volume"

// Data identifies a volume, and how to tell it from another one of the same name, such as one that a person created
// empty.
type Data struct {
	Volume string
	Used   bool // a service was healthy on it: the volume must be recognised
	Marked bool // it has its mark file
	// EngineMark is a file or folder that the engine creates in its data, relative to the root of the volume. It
	// identifies used volumes without a mark file; if it is empty, any content does.
	EngineMark string
	// CreatedAt is when the volume was created, as [Driver.Volumes] lists it; zero: whenever. Only RemoveData looks at it.
	CreatedAt time.Time
}

// CheckAge returns a [DataMissing] error if what is at where was created at another time than d.
func (d Data) CheckAge(where string, created time.Time) error {
	if d.CreatedAt.IsZero() || d.CreatedAt.Equal(created) {
		return nil
	}
	return Errorf(DataMissing, "%s is another volume: it was created at %s", where, created.UTC().Format(time.RFC3339))
}

// Content is what a driver reads at the root of a volume.
type Content interface {
	// MarkText returns the mark file, empty if there is none.
	MarkText() (string, error)
	// Has reports whether a path exists, relative to the root of the volume.
	Has(path string) (bool, error)
	// Empty reports whether the volume holds nothing.
	Empty() (bool, error)
}

// MaxMark is how many bytes of a mark file are read: more than one holds.
const MaxMark = 256 << 10

// Recognise returns a [DataMissing] error if what is at where is not d. A volume that was never used needs no proof.
func (d Data) Recognise(where string, c Content) error {
	if !d.Used {
		return nil
	}
	text, err := c.MarkText()
	if err != nil {
		return err
	}
	mark, _, _ := strings.Cut(text, "\n")
	switch {
	case mark == d.Volume:
		return nil
	case mark != "":
		return Errorf(DataMissing, "%s is not the volume %s: its file %s names %.64q", where, d.Volume, MarkFile, mark)
	case d.Marked:
		return Errorf(DataMissing, "%s is not the volume that the service used: it has no file %s", where, MarkFile)
	case d.EngineMark != "":
		has, err := c.Has(d.EngineMark)
		if err == nil && !has {
			err = Errorf(DataMissing, "%s is not the volume that the service used: it has neither %s nor %s", where, MarkFile, d.EngineMark)
		}
		return err
	}
	empty, err := c.Empty()
	if err == nil && empty {
		err = Errorf(DataMissing, "%s is not the volume that the service used: it is empty", where)
	}
	return err
}

// MarkText returns the content of the mark file of a volume: its id and, on the next line, a note of the caller's.
func MarkText(volume, note string) string {
	if note == "" {
		return volume + "\n"
	}
	return volume + "\n" + note + "\n"
}

// Note returns the note in the text of a mark file, empty if there is none or it is of another volume.
func Note(volume, text string) string {
	mark, note, _ := strings.Cut(text, "\n")
	if mark != volume {
		return ""
	}
	return strings.TrimSpace(note)
}

// Ignored reports whether a file at the root of a volume says nothing about its use.
func Ignored(name string) bool { return slices.Contains([]string{MarkFile, "lost+found"}, name) }

// Data returns the identity of the volume that the spec uses.
func (s Spec) Data() Data {
	return Data{Volume: s.Volume, Used: s.DataMustExist, Marked: s.DataMarked, EngineMark: s.EngineMark}
}
