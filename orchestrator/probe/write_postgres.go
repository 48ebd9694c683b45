package probe

import (
	"context"
	"errors"
)

// writePostgres creates a temporary table. No other session sees it, and the server drops it at the end of the
// transaction. Its rows are too short for TOAST and for compression, so the table takes new pages from the file system
// as it grows. All names are qualified, so a search_path or temp_tablespaces set by the database's owner has no effect.
func writePostgres(ctx context.Context, t Target) Result {
	c, failed := dial(ctx, t)
	if c == nil {
		return failed
	}
	defer c.close()
	s := &pgSession{conn: c, target: t, who: pgProbeLogin(t)}
	err := s.begin()
	if err == nil && s.readOnly != "" {
		return notAsked(t, "it is read-only: %s is on", s.readOnly)
	}
	if err == nil {
		err = s.do(`CREATE TEMPORARY TABLE uws_write_check ON COMMIT DROP TABLESPACE pg_default AS
			SELECT pg_catalog.random() FROM pg_catalog.generate_series(1, 2500)`) // 36 bytes each, 12 pages in total
	}
	var refused pgRefusal
	var strange notPostgres
	switch {
	case err == nil:
		return wrote(t)
	case errors.As(err, &refused) && refused.code == "42501": // insufficient_privilege
		return notAsked(t, "%s", refused.Error())
	case errors.As(err, &refused):
		return refusedWrite(t, refused.code == "53100", refused.Error())
	case errors.As(err, &strange):
		return dead(t, "answered something that is not PostgreSQL: %s", quote(t, []byte(strange)))
	}
	return readFailed(ctx, t, err, c.got, c.limit)
}
