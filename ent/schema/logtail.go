package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"
)

// LogTail is the end of the log of the run that an event is about. It is deleted with the event, or earlier: the newest few of
// each service are kept.
type LogTail struct{ ent.Schema }

// Fields of LogTail.
func (LogTail) Fields() []ent.Field {
	return []ent.Field{
		field.Int64("id").Immutable().Comment("Of the event."),
		field.String("service_id").Immutable(),
		field.Bytes("lines").Immutable().Comment("Redacted, in JSON, sealed."),
	}
}

// Indexes of LogTail.
func (LogTail) Indexes() []ent.Index { return []ent.Index{index.Fields("service_id", "id")} }
