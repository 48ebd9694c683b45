package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/klauspost/compress/zstd"

	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
)

// At is a point in time to restore to, by the server's clock.
type At struct {
	Time  time.Time
	Base  Details   // of the archive
	Until time.Time // [Log.RestorableTo] of the log that follows it
	// Fetch returns what was stored under a name by [Receiver.Store]. The error is [fs.ErrNotExist] if there is nothing.
	Fetch func(ctx context.Context, name string) ([]byte, error)
}

// WindowError is returned for a time to which the archive and its log cannot be restored.
type WindowError struct{ At, From, Until time.Time }

func (e *WindowError) Error() string {
	from := e.From.Add(time.Second - 1) // a whole second within
	return fmt.Sprintf("%s is outside the time that can be restored, %s to %s", e.At.UTC().Format(time.RFC3339Nano), from.UTC().Format(time.RFC3339), e.Until.UTC().Format(time.RFC3339))
}

// Within returns a [*WindowError] if the time is outside of what the archive and the log have.
func (a At) Within() error {
	if a.Time.Before(a.Base.StoppedAt) || a.Time.After(a.Until) {
		return &WindowError{a.Time, a.Base.StoppedAt, a.Until}
	}
	return nil
}

// PrepareAt is [Prepare] for a server that recovers to a point in time: it has every transaction that was committed until
// then, and none after. It adds the log up to there. The new server reads it as a standby does, which needs no
// command in its image, and promotes itself when it meets a later transaction. If there is none, it recovers all of the
// log as after a crash, since a server whose target is never met refuses to start.
func PrepareAt(ctx context.Context, r io.Reader, w io.Writer, how Restore, at At) error {
	if err := at.Within(); err != nil {
		return err
	}
	p := newPreparation(w, how)
	p.postponed = true
	if err := p.copy(r); err != nil {
		return err
	}
	later, err := p.log(ctx, at)
	if err != nil {
		return err
	}
	if later {
		p.auto = fmt.Sprintf("recovery_target_time = '%s'\nrecovery_target_inclusive = 'on'\nrecovery_target_action = 'promote'\nrecovery_target_timeline = 'current'\n",
			at.Time.UTC().Format("2006-01-02 15:04:05.999999+00"))
		if err := method.WriteFile(p.out, p.within(standbyFile), nil); err != nil {
			return err
		}
	}
	if err := p.configure(p.config(p.kept)); err != nil {
		return err
	}
	return p.out.Close()
}

// log writes the segments after the archive, up to one that follows a later transaction. It reports whether there is one.
func (p *preparation) log(ctx context.Context, at At) (later bool, err error) {
	stop, err := pglogrepl.ParseLSN(at.Base.StopLSN)
	if err != nil || at.Base.SegmentBytes == 0 || at.Base.SegmentBytes > maxSegment {
		return false, &method.DamagedError{What: "its details have no position in the log", Err: err}
	}
	unpacker, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxSegment))
	if err != nil {
		return false, err
	}
	defer unpacker.Close()
	scan := &scanner{}
	after := 0 // segments that were written since a later transaction was found
	for number := (uint64(stop)-1)/at.Base.SegmentBytes + 1; after < 2; number++ {
		name := segmentName(at.Base.Timeline, number, at.Base.SegmentBytes)
		packed, whole, err := fetch(ctx, at, SegmentObject(at.Base.Timeline, name))
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return false, fmt.Errorf("%s: %w", name, err)
		}
		data, err := unpacker.DecodeAll(packed, nil)
		if err != nil || uint64(len(data)) > at.Base.SegmentBytes || whole && uint64(len(data)) != at.Base.SegmentBytes {
			return false, &method.DamagedError{What: fmt.Sprintf("the segment %s of the log has %d bytes", name, len(data)), Err: err}
		}
		if later {
			after++
		}
		err = scan.feed(data, !whole, func(ended time.Time) { later = later || ended.After(at.Time) })
		if err != nil {
			return false, fmt.Errorf("%s: %w", name, err)
		}
		data = append(data, make([]byte, at.Base.SegmentBytes-uint64(len(data)))...)
		if err := method.WriteFile(p.out, p.within(logFolder+name), data); err != nil {
			return false, err
		}
		if !whole {
			break
		}
	}
	return later, nil
}

// fetch returns a segment, or what there is of it.
func fetch(ctx context.Context, at At, name string) (packed []byte, whole bool, err error) {
	if packed, err = at.Fetch(ctx, name); !errors.Is(err, fs.ErrNotExist) {
		return packed, true, err
	}
	packed, err = at.Fetch(ctx, name+partial)
	return packed, false, err
}
