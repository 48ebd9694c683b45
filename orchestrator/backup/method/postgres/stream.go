package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// stream is what the server sends for BASE_BACKUP: a tar archive of the data, and then the manifest. It reads the archive
// first; next goes on to the manifest. Its memory is that of one message.
type stream struct {
	*session
	ctx      context.Context // of the one backup that the stream is
	old      bool            // before PostgreSQL 15 each part is a copy of its own
	buffered []byte          // of the current part
	ended    bool            // the current part
	archives int
}

// position is a place in the log, and the timeline that it is on.
type position struct {
	lsn      pglogrepl.LSN
	timeline int
}

// maxIdle is how many messages without data may follow each other.
const maxIdle = 10_000

// open starts a base backup. It returns once the server's checkpoint is done.
func (s *session) open(ctx context.Context, major int, silence time.Duration) (*stream, position, error) {
	st := &stream{session: s, ctx: ctx, old: major < 15}
	command := "BASE_BACKUP (LABEL 'uws', CHECKPOINT 'fast', WAL true, WAIT false, MANIFEST 'yes', MANIFEST_CHECKSUMS 'CRC32C')"
	if st.old {
		command = "BASE_BACKUP LABEL 'uws' FAST WAL NOWAIT MANIFEST 'yes' MANIFEST_CHECKSUMS 'CRC32C'"
	}
	s.raw.SetPatience(5 * silence)
	s.conn.Frontend().SendQuery(&pgproto3.Query{String: command})
	if err := s.conn.Frontend().Flush(); err != nil {
		return nil, position{}, refusal(ctx, err)
	}
	start, err := st.position()
	if err != nil {
		return nil, position{}, err
	}
	s.raw.SetPatience(silence)
	spaces, err := st.result()
	if err != nil {
		return nil, position{}, err
	}
	for _, space := range spaces {
		if len(space) > 1 && len(space[0]) > 0 {
			return nil, position{}, &TablespacesError{[]string{string(space[1])}}
		}
	}
	return st, start, st.copyOut()
}

// receive returns the next message that is not a notice. An error of the server is an error.
func (st *stream) receive() (pgproto3.BackendMessage, error) {
	for range maxIdle {
		message, err := st.conn.ReceiveMessage(context.Background()) // the connection ends with the context
		if err != nil {
			return nil, refusal(st.ctx, err)
		}
		switch m := message.(type) {
		case *pgproto3.ErrorResponse:
			return nil, refusal(st.ctx, pgconn.ErrorResponseToPgError(m))
		case *pgproto3.NoticeResponse, *pgproto3.ParameterStatus, *pgproto3.NotificationResponse:
		default:
			return message, nil
		}
	}
	return nil, errors.New("the server sends nothing but notices")
}

// result reads the rows of one result. Those of BASE_BACKUP are few.
func (st *stream) result() ([][][]byte, error) {
	var rows [][][]byte
	for range maxIdle {
		message, err := st.receive()
		if err != nil {
			return nil, err
		}
		switch m := message.(type) {
		case *pgproto3.RowDescription:
		case *pgproto3.DataRow:
			var row [][]byte
			for _, value := range m.Values {
				row = append(row, bytes.Clone(value))
			}
			rows = append(rows, row)
		case *pgproto3.CommandComplete:
			return rows, nil
		default:
			return nil, unexpected(message)
		}
	}
	return nil, errors.New("the server answered BASE_BACKUP with too many rows")
}

// position reads a result that is a place in the log.
func (st *stream) position() (position, error) {
	rows, err := st.result()
	if err != nil {
		return position{}, err
	}
	if len(rows) != 1 || len(rows[0]) != 2 {
		return position{}, errors.New("the server answered BASE_BACKUP without a position")
	}
	lsn, err := pglogrepl.ParseLSN(string(rows[0][0]))
	if err != nil {
		return position{}, err
	}
	timeline, err := strconv.Atoi(string(rows[0][1]))
	return position{lsn, timeline}, err
}

func (st *stream) copyOut() error {
	message, err := st.receive()
	if err != nil {
		return err
	}
	if _, ok := message.(*pgproto3.CopyOutResponse); !ok {
		return unexpected(message)
	}
	return nil
}

// Read reads the current part.
func (st *stream) Read(p []byte) (int, error) {
	for idle := 0; len(st.buffered) == 0; idle++ {
		if st.ended {
			return 0, io.EOF
		}
		if idle > maxIdle {
			return 0, errors.New("the server sends messages without data")
		}
		if err := st.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, st.buffered)
	st.buffered = st.buffered[n:]
	return n, nil
}

// fill receives one message of a copy.
func (st *stream) fill() error {
	message, err := st.receive()
	if err != nil {
		return err
	}
	switch m := message.(type) {
	case *pgproto3.CopyDone:
		st.ended = true
		return nil
	case *pgproto3.CopyData:
		if st.old {
			st.buffered = m.Data
			return nil
		}
		return st.piece(m.Data)
	}
	return unexpected(message)
}

// piece takes a message of PostgreSQL 15 or newer, whose first byte says what it is.
func (st *stream) piece(data []byte) error {
	if len(data) == 0 {
		return errors.New("the server sent an empty message")
	}
	switch data[0] {
	case 'd':
		st.buffered = data[1:]
	case 'n':
		if st.archives++; st.archives > 1 {
			return fmt.Errorf("the server sent a second archive, %.100q, for a tablespace", data[1:])
		}
	case 'm':
		st.ended = true
	case 'p':
	default:
		return fmt.Errorf("the server sent a message of the unknown type %q", data[0])
	}
	return nil
}

// next skips the rest of the archive and goes on to the manifest.
func (st *stream) next() error {
	if _, err := io.Copy(io.Discard, st); err != nil {
		return err
	}
	st.ended = false
	if st.old {
		return st.copyOut()
	}
	return nil
}

// finish reads up to the end and returns where the backup ends in the log.
func (st *stream) finish() (position, error) {
	if _, err := io.Copy(io.Discard, st); err != nil {
		return position{}, err
	}
	stop, err := st.position()
	if err != nil {
		return position{}, err
	}
	for range maxIdle {
		message, err := st.receive()
		if err != nil {
			return position{}, err
		}
		switch message.(type) {
		case *pgproto3.ReadyForQuery:
			return stop, nil
		case *pgproto3.CommandComplete:
		default:
			return position{}, unexpected(message)
		}
	}
	return position{}, errors.New("the server does not end its answer")
}

func unexpected(message pgproto3.BackendMessage) error {
	return fmt.Errorf("the server sent an unexpected message: %T", message)
}
