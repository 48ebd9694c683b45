// Package series keeps values over time in files of a fixed size: rings of several resolutions, as in RRDtool's archives.
package series

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Tier is one resolution: the newest Slots steps of a length, each with a value for every column.
type Tier struct {
	Step    time.Duration // a whole number of seconds
	Slots   int
	Columns int
}

// StepAt returns the number of the step that a time is in: steps are counted from 1970.
func (t Tier) StepAt(at time.Time) int64 { return at.Unix() / int64(t.Step/time.Second) }

// Begin returns when a step begins.
func (t Tier) Begin(step int64) time.Time { return time.Unix(step*int64(t.Step/time.Second), 0).UTC() }

// slotSize is the size of a slot in a file: the step's number, then the values.
func (t Tier) slotSize() int64 { return 4 + 4*int64(t.Columns) }

// Row is the values of one step. A value that is missing is NaN.
type Row struct {
	Step   int64
	Values []float32
}

// File is the values of one thing. It is opened for each call, so that there can be any number. It is safe for concurrent use.
//
// A slot is valid if it has the number of the step that is looked for, so that what is older than the ring needs no deletion.
// Nothing is synced to the disk: a crash of the machine can lose the newest values, and a value is never one of another step.
type File struct {
	path  string
	tiers []Tier
	mu    sync.Mutex
}

// NewFile returns the file at a path, which need not exist. All files of one kind have the same tiers.
func NewFile(path string, tiers []Tier) *File { return &File{path: path, tiers: tiers} }

// headerSize holds the magic and, for each of at most 8 tiers, its three numbers.
const (
	headerSize = 128
	magic      = "uws series 1\n"
)

// Size returns the size in bytes that a file with these tiers has at most.
func Size(tiers []Tier) int64 {
	size := int64(headerSize)
	for _, t := range tiers {
		size += int64(t.Slots) * t.slotSize()
	}
	return size
}

func (f *File) header() []byte {
	h := make([]byte, headerSize)
	at := copy(h, magic)
	at = (at + 3) / 4 * 4
	for _, t := range f.tiers {
		for _, n := range []int{int(t.Step / time.Second), t.Slots, t.Columns} {
			binary.LittleEndian.PutUint32(h[at:], uint32(n)) //nolint:gosec // small constants
			at += 4
		}
	}
	return h
}

// offset returns where a tier begins.
func (f *File) offset(tier int) int64 { return Size(f.tiers[:tier]) }

// ErrDamaged is returned for a file that is not a series, or has other tiers.
var ErrDamaged = errors.New("not a series of this kind")

// Write stores rows of a tier, and creates the file if there is none. A row replaces one of the same step, and one that is as
// old as the ring is long.
// Errors: [ErrDamaged]: see [File.Reset].
func (f *File) Write(tier int, rows ...Row) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	file, err := f.open(os.O_RDWR | os.O_CREATE)
	if err != nil {
		return err
	}
	t := f.tiers[tier]
	for len(rows) > 0 && err == nil {
		n := 1 // rows that lie in sequence are written at once
		for n < len(rows) && rows[n].Step == rows[n-1].Step+1 && rows[n].Step%int64(t.Slots) != 0 {
			n++
		}
		data := make([]byte, 0, int64(n)*t.slotSize())
		for _, r := range rows[:n] {
			data = t.append(data, r)
		}
		_, err = file.WriteAt(data, f.offset(tier)+rows[0].Step%int64(t.Slots)*t.slotSize())
		rows = rows[n:]
	}
	return errors.Join(err, file.Close())
}

func (t Tier) append(data []byte, r Row) []byte {
	data = binary.LittleEndian.AppendUint32(data, uint32(r.Step)) //nolint:gosec // of seconds since 1970, divided: until 2106
	for i := range t.Columns {
		v := float32(math.NaN())
		if i < len(r.Values) {
			v = r.Values[i]
		}
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	return data
}

// Read returns the rows of a tier with steps from first up to, without, end, oldest first. Steps without values are left out.
// No more than the tier's slots are read: the newest ones.
// Errors: [ErrDamaged]: see [File.Reset].
func (f *File) Read(tier int, first, end int64) ([]Row, error) {
	t := f.tiers[tier]
	first = max(first, end-int64(t.Slots), 1) // 0 is that of an empty slot
	if first >= end {
		return nil, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	file, err := f.open(os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	rows := make([]Row, 0, end-first)
	for first < end {
		slot := first % int64(t.Slots)
		n := min(end-first, int64(t.Slots)-slot)
		data := make([]byte, n*t.slotSize())
		read, err := file.ReadAt(data, f.offset(tier)+slot*t.slotSize())
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("reading %s: %w", f.path, err)
		}
		rows = t.decode(rows, data[:read], first)
		first += n
	}
	return rows, nil
}

// decode appends the rows of slots of which the first one should have this step.
func (t Tier) decode(rows []Row, data []byte, step int64) []Row {
	size := int(t.slotSize())
	for ; len(data) >= size; data, step = data[size:], step+1 {
		if binary.LittleEndian.Uint32(data) != uint32(step) { //nolint:gosec // as in append
			continue
		}
		values := make([]float32, t.Columns)
		for i := range values {
			values[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4+4*i:]))
			if math.IsInf(float64(values[i]), 0) {
				values[i] = float32(math.NaN())
			}
		}
		rows = append(rows, Row{Step: step, Values: values})
	}
	return rows
}

// open opens the file and checks its header.
func (f *File) open(flags int) (*os.File, error) {
	if flags&os.O_CREATE != 0 {
		if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
			return nil, err
		}
	}
	file, err := os.OpenFile(f.path, flags, 0o600)
	if err != nil {
		return nil, err
	}
	have, want := make([]byte, headerSize), f.header()
	n, err := file.ReadAt(have, 0)
	switch {
	case n == headerSize && string(have) == string(want):
		return file, nil
	case n == 0 && errors.Is(err, io.EOF) && flags&os.O_CREATE != 0:
		_, err = file.WriteAt(want, 0)
	case n == 0 && errors.Is(err, io.EOF):
		err = fs.ErrNotExist // being created, or the disk was full then
	case err == nil || errors.Is(err, io.EOF):
		err = fmt.Errorf("%s: %w", f.path, ErrDamaged)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// Reset renames a file that is damaged, so that the next Write creates a new one.
func (f *File) Reset() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return os.Rename(f.path, f.path+".damaged")
}

// Remove deletes the file. It is a no-op if there is none.
func (f *File) Remove() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := os.Remove(f.path)
	if err := os.Remove(f.path + ".damaged"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
