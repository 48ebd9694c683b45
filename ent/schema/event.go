package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"

	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
)

// Event is one change of a service's phase or health, of a node's health, or of where the installation is: append-only. Messages to
// subscribers are built from the row alone. Its id is the sequence number: it rises in commit order.
type Event struct{ ent.Schema }

// Fields of Event.
func (Event) Fields() []ent.Field {
	return []ent.Field{
		field.Int64("id").Immutable(),
		field.Int64("mark").Immutable().Comment("Random: with the id it makes a cursor that no other store has."),
		field.Time("at").Immutable(),
		field.Enum("subject").Values("SERVICE", "NODE", "INSTALLATION").Immutable(),
		field.String("node_id").Optional().Immutable(),
		field.String("node_name").Optional().Immutable(),
		field.Bool("node_healthy").Default(false).Immutable().Comment("With subject NODE."),

		field.String("service_id").Optional().Immutable(),
		field.String("service_name").Optional().Immutable(),
		field.Enum("kind").GoType(catalog.Kind("")).Optional().Nillable().Immutable(),
		field.String("template").Optional().Immutable(),
		field.Enum("desired_state").GoType(lifecycle.Desired("")).Optional().Nillable().Immutable(),
		field.Enum("previous_phase").GoType(lifecycle.Phase("")).Optional().Nillable().Immutable().Comment("Nil for a launch."),
		field.Enum("phase").GoType(lifecycle.Phase("")).Optional().Nillable().Immutable().Comment("Nil when the service is gone."),
		field.Enum("previous_health").GoType(lifecycle.Health("")).Optional().Nillable().Immutable(),
		field.Enum("health").GoType(lifecycle.Health("")).Optional().Nillable().Immutable(),
		field.String("endpoint").Optional().Immutable(),
		field.Int("restarts").Default(0).Immutable(),

		field.String("reason").Immutable().Comment("Plain words."),
		field.String("reason_code").GoType(lifecycle.ReasonCode("")).Optional().Nillable().Immutable().Comment("Nil in rows older than codes."),
		field.JSON("reason_params", &lifecycle.Params{}).Optional().Immutable().Comment("The numbers of the reason; null where it has none."),
		field.String("probe").Optional().Immutable().Comment("Verdict of the probe that caused it."),
		field.Int("exit_code").Optional().Nillable().Immutable(),
		field.Bool("oom_killed").Optional().Nillable().Immutable(),
		field.String("log_line").Optional().Nillable().Immutable().Comment("Of the engine's log: why the run failed. For operators."),
		field.Int("attempt").Default(0).Immutable().Comment("Failures within the rolling window, this one included."),
		field.Time("next_attempt_at").Optional().Nillable().Immutable(),
		field.Int64("cause_id").Optional().Nillable().Immutable().Comment("The event this one follows from; feeds fold them."),
	}
}

// Indexes of Event.
func (Event) Indexes() []ent.Index {
	return []ent.Index{index.Fields("service_id", "id"), index.Fields("node_id", "id")}
}
