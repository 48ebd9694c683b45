package schema

import (
	"time"

	"entgo.io/ent"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"

	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
)

// Service is a desired workload and what became of it. The first group of fields is written at launch,
// the second by the API's verbs, the third by the reconcile loop alone.
type Service struct{ ent.Schema }

// Fields of Service.
func (Service) Fields() []ent.Field {
	return []ent.Field{
		field.String("id").Immutable(),
		field.String("name").Unique().Comment("Another service can take it over, with the ports."),
		field.Enum("kind").GoType(catalog.Kind("")).Immutable(),
		field.String("template").Immutable().Comment("Name of the template."),
		field.JSON("definition", catalog.Template{}).Immutable().Comment("The template as resolved at launch, overrides included. Upgrading uws never changes it."),
		field.String("input_hash").Comment("Of the launch input: a repeated launch with the same input finds this service. It goes with the name."),
		field.String("volume").Comment("Id of its data, which can outlive it. Moving it to another node gives it another one."),
		field.Bytes("credentials").Sensitive().Comment("Sealed JSON object by credential name."),
		field.Bytes("pending_credentials").Optional().Sensitive().Comment("Sealed like credentials, whose place they take once the engine accepts them alone."),
		field.String("requested_node").Optional().Immutable().Comment("Id of the node asked for at launch; empty for automatic placement."),
		field.JSON("node_labels", map[string]string{}).Optional().Immutable().Comment("Labels that its node must have."),
		field.JSON("labels", map[string]string{}).Optional().Comment("Its own, for people and filters."),
		field.JSON("requested_ports", map[string]int{}).Optional().Comment("By port name, those that the launch asked for."),
		field.Time("created_at").Immutable(),

		field.Enum("desired_state").GoType(lifecycle.Desired("")),
		field.Int("restart_generation").Default(0).Comment("Raised by every request to start or restart."),
		field.Int("spec_generation").Default(1).Comment("Raised by every change of its spec that an instance must be created for."),
		field.JSON("quarantine", &lifecycle.Quarantine{}).Optional().Comment("Of a service that was made from a backup, until its end is requested; else null."),
		field.Bool("delete_data").Default(false).Comment("With desired state REMOVED: the data goes too."),

		field.String("node_id").Optional().Comment("Empty until placed."),
		field.JSON("ports", map[string]int{}).Optional().Comment("Published port by port name; kept for life."),
		field.String("image").Default("").Comment("Digest of the image it runs; empty where there is none."),
		field.Enum("phase").GoType(lifecycle.Phase("")),
		field.Enum("health").GoType(lifecycle.Health("")),
		field.String("reason").Default(""),
		field.String("reason_code").GoType(lifecycle.ReasonCode("")).Optional().Nillable().Comment("Nil in rows older than codes."),
		field.JSON("reason_params", &lifecycle.Params{}).Optional().Comment("The numbers of the reason; null where it has none."),
		field.String("log_line").Optional().Nillable().Comment("Of the engine's log: why its newest run failed. For operators."),
		field.String("instance").Default("").Comment("The driver's identity of the run that was seen healthy last."),
		field.String("ended").Default("").Comment("The newest run whose end was dealt with."),
		field.Int("handled_generation").Default(0),
		field.Int("observed_generation").Default(0).Comment("The spec_generation that its instance was created from; 0 if there is none."),
		field.Int("restarts").Default(0).Comment("Automatic restart attempts since launch."),
		field.Int("engine_restarts").Default(0).Comment("Of the engine's own count of restarts, how many were taken note of."),
		field.JSON("failures", []time.Time{}).Optional().Comment("Failures within the rolling window."),
		field.Bool("outside").Default(false).Comment("It is down by an act from outside, which is to be undone."),
		field.JSON("undone", []time.Time{}).Optional().Comment("Acts from outside that were undone within the rolling window."),
		field.Bool("crash_loop").Default(false).Comment("Until it was healthy for long enough or was restarted by hand."),
		field.Int64("cause_id").Optional().Nillable().Comment("Sequence number of the event that the present trouble began with."),
		field.Bool("ever_healthy").Default(false).Comment("Its data exists: it is never made anew."),
		field.Bool("data_marked").Default(false).Comment("Its volume has the mark file, without which the service does not start."),
		field.Bool("record_stale").Default(false).Comment("The record in the mark file must be written again: it has other credentials, or is sealed with another key."),
		field.Time("healthy_since").Optional().Nillable(),
		field.Time("next_restart_at").Optional().Nillable(),
		field.String("backup_state").Default("NONE").Comment("Written by the backups alone, like the reason."),
		field.String("backup_reason").Default(""),
		field.Time("last_health_check_at").Optional().Nillable().Comment("Flushed in batches; memory holds a newer one."),
		field.Time("updated_at"),
		field.Int("version").Default(0).Comment("Optimistic lock."),
	}
}

// Indexes of Service.
func (Service) Indexes() []ent.Index {
	return []ent.Index{index.Fields("node_id"), index.Fields("created_at", "id")}
}
