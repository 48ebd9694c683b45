package schema

import (
	"encoding/json"

	"entgo.io/ent"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"

	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
)

// BackupTarget is a place that holds backups: one repository, with a key of its own.
type BackupTarget struct{ ent.Schema }

// Fields of BackupTarget.
func (BackupTarget) Fields() []ent.Field {
	return []ent.Field{
		field.String("id").Immutable().Comment("Of the repository too: it is written there in clear."),
		field.String("name").Unique(),
		field.String("folder").Default("").Comment("On the control plane's machine; empty: it is an S3 bucket."),
		field.String("service_id").Default("").Comment("The BUCKET service that holds the bucket; empty: another S3."),
		field.String("endpoint").Default("").Comment("URL of the S3; empty with service_id, whose endpoint may change."),
		field.String("region").Default(""),
		field.String("bucket").Default(""),
		field.String("prefix").Default(""),
		field.String("access_key").Default(""),
		field.Bytes("secrets").Sensitive().Comment("Sealed JSON: the repository's key, and the S3's secret key and CA."),
		field.Time("created_at").Immutable(),
		field.Time("kit_taken_at").Optional().Nillable().Comment("When its recovery kit was printed; null: nobody could restore without this installation."),
		field.Time("maintained_at").Optional().Nillable().Comment("When unused contents were last deleted."),
		field.Int("write_mib_per_second").Default(0).Comment("0: as fast as it goes."),
		field.Int("version").Default(0),
	}
}

// BackupPolicy says when services are backed up, where to, and how long backups are kept.
type BackupPolicy struct{ ent.Schema }

// Fields of BackupPolicy.
func (BackupPolicy) Fields() []ent.Field {
	return []ent.Field{
		field.String("id").Immutable(),
		field.String("service_id").Default("").Immutable().Comment("The only service it is of; empty: it is a default for those that match."),
		field.Strings("kinds").Optional().Immutable().Comment("Of a default; empty: all kinds."),
		field.JSON("labels", map[string]string{}).Optional().Immutable().Comment("Of a default: all of these must be on the service."),
		field.String("target_id"),
		field.String("schedule").Comment("Cron expression of five fields."),
		field.String("time_zone").Comment("IANA name."),
		field.Int("keep_last"),
		field.Int("keep_daily"),
		field.Int("keep_weekly"),
		field.Int("keep_monthly"),
		field.Bool("point_in_time").Default(false),
		field.Int64("prove_every_seconds").Comment("0: never."),
		field.String("prove_node_id").Default("").Comment("Where backups are restored on trial; empty: the service's node."),
		field.Bool("final_backup").Comment("Whether deleting a service with its data takes a last backup."),
		field.Bool("paused").Default(false),
		field.Time("created_at").Immutable(),
		field.Time("updated_at"),
		field.Int("version").Default(0),
	}
}

// Indexes of BackupPolicy.
func (BackupPolicy) Indexes() []ent.Index {
	return []ent.Index{index.Fields("service_id"), index.Fields("target_id")}
}

// Backup is one backup of a service, from its request on. It outlives the service.
type Backup struct{ ent.Schema }

// Fields of Backup.
func (Backup) Fields() []ent.Field {
	return []ent.Field{
		field.String("id").Immutable(),
		field.String("service_id").Immutable(),
		field.String("service_name").Immutable(),
		field.Enum("kind").GoType(catalog.Kind("")).Immutable(),
		field.String("template").Immutable(),
		field.String("engine_version").Immutable(),
		field.String("node_id").Immutable(),
		field.String("target_id").Immutable(),
		field.String("policy_id").Default("").Immutable().Comment("Empty: it was requested."),
		field.Enum("trigger").Values("SCHEDULE", "REQUEST", "REMOVAL", "MOVE").Immutable(),
		field.Time("slot").Optional().Nillable().Immutable().Comment("The time of the schedule that it was taken for."),
		field.Enum("state").Values("QUEUED", "RUNNING", "COMPLETE", "FAILED", "CANCELLED", "DELETING"),
		field.String("reason").Default(""),
		field.String("reason_code").GoType(lifecycle.ReasonCode("")).Optional().Nillable(),
		field.Bool("pinned").Default(false),
		field.Time("created_at").Immutable(),
		field.Time("started_at").Optional().Nillable(),
		field.Time("finished_at").Optional().Nillable(),
		field.Int64("paused_ms").Default(0).Comment("How long the engine was frozen or stopped for it."),
		field.String("snapshot").Default("").Comment("In the repository."),
		field.Int64("bytes").Default(0).Comment("Of the data."),
		field.Int64("stored_bytes").Default(0).Comment("That it added to the repository."),
		field.Int("files").Default(0),
		field.JSON("contents", json.RawMessage{}).Optional(),
		field.Time("proven_at").Optional().Nillable(),
		field.JSON("proof", json.RawMessage{}).Optional().Comment("Report of the newest proof."),
		field.Int("version").Default(0),
	}
}

// Indexes of Backup.
func (Backup) Indexes() []ent.Index {
	return []ent.Index{index.Fields("service_id", "created_at"), index.Fields("target_id"), index.Fields("state"), index.Fields("created_at", "id")}
}

// Restore is the making of a service from a backup.
type Restore struct{ ent.Schema }

// Fields of Restore.
func (Restore) Fields() []ent.Field {
	return []ent.Field{
		field.String("id").Immutable(),
		field.Enum("purpose").Values("RESTORE", "PROOF", "MOVE").Immutable(),
		field.String("backup_id").Immutable(),
		field.String("source_id").Immutable().Comment("Of the service that was backed up."),
		field.Enum("kind").GoType(catalog.Kind("")).Immutable(),
		field.String("name").Immutable().Comment("Of the service to be made."),
		field.Time("at").Optional().Nillable().Immutable().Comment("Point in time; null: the end of the backup."),
		field.String("node_id").Comment("Where it is made."),
		field.String("volume").Default("").Immutable().Comment("Id of the volume to be made."),
		field.String("service_id").Default("").Comment("Of the service that was made; empty before."),
		field.Enum("state").Values("QUEUED", "COPYING", "STARTING", "LOADING", "CHECKING", "COMPLETE", "FAILED", "CANCELLED"),
		field.String("reason").Default(""),
		field.JSON("ports", map[string]int{}).Optional().Comment("Of the instance of a proof, which has the restore's id."),
		field.Int64("memory_bytes").Default(0).Comment("Promised to it on its node."),
		field.Float("cpus").Default(0),
		field.Bool("rotate").Default(false).Immutable().Comment("Whether its credentials are replaced at the end."),
		field.Bool("quarantine").Default(false).Immutable().Comment("Whether what is made is kept from acting on others."),
		field.Bool("cancel").Default(false).Comment("Its cancellation was requested."),
		field.Time("created_at").Immutable(),
		field.Time("finished_at").Optional().Nillable(),
		field.Int64("bytes").Default(0).Comment("Of the data."),
		field.Int("version").Default(0),
	}
}

// Indexes of Restore.
func (Restore) Indexes() []ent.Index {
	return []ent.Index{index.Fields("state"), index.Fields("backup_id"), index.Fields("service_id")}
}
