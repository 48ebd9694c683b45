-- +goose Up
ALTER TABLE `services` ADD COLUMN `backup_state` text NOT NULL DEFAULT ('NONE');
ALTER TABLE `services` ADD COLUMN `backup_reason` text NOT NULL DEFAULT ('');
-- create "backups" table
CREATE TABLE `backups` (`id` text NOT NULL, `service_id` text NOT NULL, `service_name` text NOT NULL, `kind` text NOT NULL, `template` text NOT NULL, `engine_version` text NOT NULL, `node_id` text NOT NULL, `target_id` text NOT NULL, `policy_id` text NOT NULL DEFAULT (''), `trigger` text NOT NULL, `slot` datetime NULL, `state` text NOT NULL, `reason` text NOT NULL DEFAULT (''), `reason_code` text NULL, `pinned` bool NOT NULL DEFAULT (false), `created_at` datetime NOT NULL, `started_at` datetime NULL, `finished_at` datetime NULL, `paused_ms` integer NOT NULL DEFAULT (0), `snapshot` text NOT NULL DEFAULT (''), `bytes` integer NOT NULL DEFAULT (0), `stored_bytes` integer NOT NULL DEFAULT (0), `files` integer NOT NULL DEFAULT (0), `contents` json NULL, `proven_at` datetime NULL, `proof` json NULL, `version` integer NOT NULL DEFAULT (0), PRIMARY KEY (`id`));
-- create index "backup_service_id_created_at" to table: "backups"
CREATE INDEX `backup_service_id_created_at` ON `backups` (`service_id`, `created_at`);
-- create index "backup_target_id" to table: "backups"
CREATE INDEX `backup_target_id` ON `backups` (`target_id`);
-- create index "backup_state" to table: "backups"
CREATE INDEX `backup_state` ON `backups` (`state`);
-- create index "backup_created_at_id" to table: "backups"
CREATE INDEX `backup_created_at_id` ON `backups` (`created_at`, `id`);
-- create "backup_policies" table
CREATE TABLE `backup_policies` (`id` text NOT NULL, `service_id` text NOT NULL DEFAULT (''), `kinds` json NULL, `labels` json NULL, `target_id` text NOT NULL, `schedule` text NOT NULL, `time_zone` text NOT NULL, `keep_last` integer NOT NULL, `keep_daily` integer NOT NULL, `keep_weekly` integer NOT NULL, `keep_monthly` integer NOT NULL, `point_in_time` bool NOT NULL DEFAULT (false), `prove_every_seconds` integer NOT NULL, `prove_node_id` text NOT NULL DEFAULT (''), `final_backup` bool NOT NULL, `paused` bool NOT NULL DEFAULT (false), `created_at` datetime NOT NULL, `updated_at` datetime NOT NULL, `version` integer NOT NULL DEFAULT (0), PRIMARY KEY (`id`));
-- create index "backuppolicy_service_id" to table: "backup_policies"
CREATE INDEX `backuppolicy_service_id` ON `backup_policies` (`service_id`);
-- create index "backuppolicy_target_id" to table: "backup_policies"
CREATE INDEX `backuppolicy_target_id` ON `backup_policies` (`target_id`);
-- create "backup_targets" table
CREATE TABLE `backup_targets` (`id` text NOT NULL, `name` text NOT NULL, `folder` text NOT NULL DEFAULT (''), `service_id` text NOT NULL DEFAULT (''), `endpoint` text NOT NULL DEFAULT (''), `region` text NOT NULL DEFAULT (''), `bucket` text NOT NULL DEFAULT (''), `prefix` text NOT NULL DEFAULT (''), `access_key` text NOT NULL DEFAULT (''), `secrets` blob NOT NULL, `created_at` datetime NOT NULL, `kit_taken_at` datetime NULL, `maintained_at` datetime NULL, `write_mib_per_second` integer NOT NULL DEFAULT (0), `version` integer NOT NULL DEFAULT (0), PRIMARY KEY (`id`));
-- create index "backup_targets_name_key" to table: "backup_targets"
CREATE UNIQUE INDEX `backup_targets_name_key` ON `backup_targets` (`name`);
-- create "restores" table
CREATE TABLE `restores` (`id` text NOT NULL, `purpose` text NOT NULL, `backup_id` text NOT NULL, `source_id` text NOT NULL, `kind` text NOT NULL, `name` text NOT NULL, `at` datetime NULL, `node_id` text NOT NULL, `volume` text NOT NULL DEFAULT (''), `service_id` text NOT NULL DEFAULT (''), `state` text NOT NULL, `reason` text NOT NULL DEFAULT (''), `rotate` bool NOT NULL DEFAULT (false), `cancel` bool NOT NULL DEFAULT (false), `created_at` datetime NOT NULL, `finished_at` datetime NULL, `bytes` integer NOT NULL DEFAULT (0), `version` integer NOT NULL DEFAULT (0), PRIMARY KEY (`id`));
-- create index "restore_state" to table: "restores"
CREATE INDEX `restore_state` ON `restores` (`state`);
-- create index "restore_backup_id" to table: "restores"
CREATE INDEX `restore_backup_id` ON `restores` (`backup_id`);
-- create index "restore_service_id" to table: "restores"
CREATE INDEX `restore_service_id` ON `restores` (`service_id`);
