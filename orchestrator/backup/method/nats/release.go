package nats

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
)

// Release puts back what [Method.Load] left out in quarantine: the sources of streams. It can be repeated. Streams that
// were deleted meanwhile, or have sources, are left alone. JetStream cannot make a stream a mirror again; the names of
// those that were one are returned, and they stay ordinary streams.
func (m Method) Release(ctx context.Context, at method.Instance, saved method.Saved) (mirrors []string, err error) {
	var details Details
	if err := json.Unmarshal(saved.Details, &details); err != nil {
		return nil, &method.DamagedError{What: "its details are not those of JetStream", Err: err}
	}
	s, err := m.connect(ctx, at)
	if err != nil {
		return nil, err
	}
	defer s.close()
	for _, name := range slices.Sorted(maps.Keys(details.Aside)) {
		aside := details.Aside[name]
		if aside.Mirror != nil {
			mirrors = append(mirrors, name)
		}
		if aside.Sources == nil {
			continue
		}
		if err := s.setSources(ctx, name, aside.Sources); err != nil && !isCode(err, errStreamNotFound) {
			return mirrors, fmt.Errorf("stream %s: %w", name, err)
		}
	}
	return mirrors, nil
}

// setSources gives a stream sources, unless it has some.
func (s *session) setSources(ctx context.Context, name string, sources json.RawMessage) error {
	var info struct{ Config map[string]json.RawMessage }
	if err := s.call(ctx, "STREAM.INFO."+name, nil, &info); err != nil {
		return err
	}
	if _, has := info.Config["sources"]; has {
		return nil
	}
	info.Config["sources"] = sources
	return s.call(ctx, "STREAM.UPDATE."+name, info.Config, nil)
}
