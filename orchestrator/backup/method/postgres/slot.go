package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pglogrepl"

	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
)

// ErrSlotLost means that the server has removed log which was not received yet, or the slot itself. What follows can only
// be restored from a new base backup.
var ErrSlotLost = errors.New("the server no longer has the log that was not received yet")

// SlotName returns the name of the replication slot of a service.
func SlotName(service string) string {
	return "uws_" + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(service))
}

// DropSlot removes a slot. It is a no-op if there is none.
func (m Method) DropSlot(ctx context.Context, in method.Instance, slot string) error {
	s, err := m.sql(ctx, in)
	if err != nil {
		return err
	}
	defer s.close()
	return s.dropSlot(ctx, slot)
}

// DropSlots removes the slots of uws but one: those that came along with the files of another service, and those that
// could not be removed when they were not wanted any more.
func (m Method) DropSlots(ctx context.Context, in method.Instance, but string) error {
	s, err := m.sql(ctx, in)
	if err != nil {
		return err
	}
	defer s.close()
	_, err = s.rows(ctx, `SELECT pg_catalog.pg_drop_replication_slot(slot_name) FROM pg_catalog.pg_replication_slots
		WHERE slot_type = 'physical' AND starts_with(slot_name, 'uws_') AND NOT active AND slot_name <> `+quoteText(but))
	return err
}

// createSlot makes a slot, from which on the server keeps its log, up to max_slot_wal_keep_size.
func (s *session) createSlot(ctx context.Context, slot string) error {
	limit, err := s.row(ctx, 1, `SELECT setting FROM pg_catalog.pg_settings WHERE name = 'max_slot_wal_keep_size'`)
	if err != nil {
		return err
	}
	if limit[0] == "-1" {
		return errors.New("the server's max_slot_wal_keep_size is not set, so a slot could fill its disk: it was started before its settings had it. Restart the service once")
	}
	_, err = s.rows(ctx, `SELECT pg_catalog.pg_create_physical_replication_slot(`+quoteText(slot)+`, true)`)
	return err
}

func (s *session) dropSlot(ctx context.Context, slot string) error {
	_, err := s.rows(ctx, `SELECT pg_catalog.pg_drop_replication_slot(slot_name) FROM pg_catalog.pg_replication_slots WHERE slot_name = `+quoteText(slot))
	return err
}

// slot returns from where on a slot keeps the log. The error is ErrSlotLost if there is no such slot, or no longer.
func (s *session) slot(ctx context.Context, slot string) (pglogrepl.LSN, error) {
	rows, err := s.rows(ctx, `SELECT coalesce(restart_lsn::text, ''), coalesce(wal_status, 'lost') FROM pg_catalog.pg_replication_slots
		WHERE slot_type = 'physical' AND slot_name = `+quoteText(slot))
	if err != nil {
		return 0, err
	}
	if len(rows) != 1 || len(rows[0]) != 2 || rows[0][1] == "lost" {
		return 0, fmt.Errorf("slot %s: %w", slot, ErrSlotLost)
	}
	return pglogrepl.ParseLSN(rows[0][0])
}
