package postgres

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
)

// scanner reads the log for the times of transactions, segment by segment. It knows of PostgreSQL's format only what 14
// to 18 have in common: headers of pages and records, and that records of transactions begin with a time.
type scanner struct {
	skip     int    // bytes of a record whose beginning is not there
	pending  []byte // the beginning of a record, or of more
	began    bool
	switched bool // the rest of the segment is empty
}

const (
	pageBytes    = 8192
	shortHeader  = 24 // of a page
	longHeader   = 40 // of the first page of a segment
	recordHeader = 24
	maxRecord    = 1 << 30

	managerXLOG, managerTransactions = 0, 1
	infoSwitch                       = 0x40
)

// feed calls seen with the time of each transaction that ends in the segment. last says that the segment may end early.
func (s *scanner) feed(segment []byte, last bool, seen func(time.Time)) error {
	s.switched = false
	for at := 0; at+longHeader <= len(segment) && !s.switched; at += pageBytes {
		page, header := segment[at:min(at+pageBytes, len(segment))], shortHeader
		if at == 0 {
			header = longHeader
		}
		if binary.LittleEndian.Uint16(page) == 0 { // never written
			if last {
				return nil
			}
			return errLog
		}
		if !s.began {
			s.began, s.skip = true, int(binary.LittleEndian.Uint32(page[16:])+7)&^7
		}
		s.pending = append(s.pending, page[header:]...)
		if n := min(s.skip, len(s.pending)); n > 0 {
			s.pending, s.skip = s.pending[n:], s.skip-n
		}
		ended, err := s.records(seen)
		if err != nil {
			return err
		}
		if ended {
			if last {
				return nil
			}
			return errLog
		}
	}
	return nil
}

var errLog = &method.DamagedError{What: "the log has a gap", Err: errors.New("a record is missing")}

// records parses all whole records. It reports whether the log ends here.
func (s *scanner) records(seen func(time.Time)) (ended bool, err error) {
	for len(s.pending) >= 8 {
		size := binary.LittleEndian.Uint32(s.pending)
		if size == 0 {
			return true, nil
		}
		if size < recordHeader || size > maxRecord {
			return false, errLog
		}
		if uint64(len(s.pending)) < uint64(size) {
			return false, nil
		}
		record := s.pending[:size]
		info, manager := record[16], record[17]
		if manager == managerTransactions {
			if at, ok := transactionTime(info, record[recordHeader:]); ok {
				seen(at)
			}
		}
		if manager == managerXLOG && info&0xf0 == infoSwitch {
			s.pending, s.switched = nil, true
			return false, nil
		}
		s.pending = s.pending[min(len(s.pending), int(size+7)&^7):]
	}
	return false, nil
}

// transactionTime returns the time in a record about the end of a transaction: a commit or an abort, prepared or not.
func transactionTime(info byte, body []byte) (time.Time, bool) {
	switch info & 0x70 {
	case 0x00, 0x20, 0x30, 0x40:
	default:
		return time.Time{}, false
	}
	for len(body) >= 5 {
		switch body[0] {
		case 253: // origin
			body = body[3:]
		case 252: // transaction at the top
			body = body[5:]
		case 255: // short data
			return postgresTime(body[2:])
		case 254: // long data
			return postgresTime(body[5:])
		default:
			return time.Time{}, false
		}
	}
	return time.Time{}, false
}

// epoch returns the zero of PostgreSQL's times.
func epoch() time.Time { return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) }

func postgresTime(data []byte) (time.Time, bool) {
	var microseconds int64
	if _, err := binary.Decode(data, binary.LittleEndian, &microseconds); err != nil { // it is too short
		return time.Time{}, false
	}
	return epoch().Add(time.Duration(microseconds) * time.Microsecond), true
}
