-- +goose Up
-- create "events" table
CREATE TABLE `events` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `mark` integer NOT NULL, `at` datetime NOT NULL, `subject` text NOT NULL, `node_id` text NULL, `node_name` text NULL, `node_healthy` bool NOT NULL DEFAULT (false), `service_id` text NULL, `service_name` text NULL, `kind` text NULL, `template` text NULL, `desired_state` text NULL, `previous_phase` text NULL, `phase` text NULL, `previous_health` text NULL, `health` text NULL, `endpoint` text NULL, `restarts` integer NOT NULL DEFAULT (0), `reason` text NOT NULL, `probe` text NULL, `exit_code` integer NULL, `oom_killed` bool NULL, `attempt` integer NOT NULL DEFAULT (0), `next_attempt_at` datetime NULL, `cause_id` integer NULL);
-- create index "event_service_id_id" to table: "events"
CREATE INDEX `event_service_id_id` ON `events` (`service_id`, `id`);
-- create index "event_node_id_id" to table: "events"
CREATE INDEX `event_node_id_id` ON `events` (`node_id`, `id`);
-- create "installations" table
CREATE TABLE `installations` (`id` text NOT NULL, `key_check` blob NOT NULL, `created_at` datetime NOT NULL, PRIMARY KEY (`id`));
-- create "nodes" table
CREATE TABLE `nodes` (`id` text NOT NULL, `name` text NOT NULL, `driver` text NOT NULL, `endpoint` text NOT NULL, `service_address` text NOT NULL, `healthy` bool NOT NULL DEFAULT (false), `reason` text NOT NULL DEFAULT (''), `last_seen_at` datetime NULL, `created_at` datetime NOT NULL, `version` integer NOT NULL DEFAULT (0), PRIMARY KEY (`id`));
-- create index "nodes_name_key" to table: "nodes"
CREATE UNIQUE INDEX `nodes_name_key` ON `nodes` (`name`);
-- create "retaineds" table
CREATE TABLE `retaineds` (`id` text NOT NULL, `name` text NOT NULL, `kind` text NOT NULL, `template` text NOT NULL, `definition` json NOT NULL, `credentials` blob NOT NULL, `service_id` text NOT NULL, `node_id` text NOT NULL, `deleting` bool NOT NULL DEFAULT (false), `created_at` datetime NOT NULL, `retained_at` datetime NOT NULL, PRIMARY KEY (`id`));
-- create index "retaineds_name_key" to table: "retaineds"
CREATE UNIQUE INDEX `retaineds_name_key` ON `retaineds` (`name`);
-- create "services" table
CREATE TABLE `services` (`id` text NOT NULL, `name` text NOT NULL, `kind` text NOT NULL, `template` text NOT NULL, `definition` json NOT NULL, `input_hash` text NOT NULL, `volume` text NOT NULL, `credentials` blob NOT NULL, `requested_node` text NULL, `created_at` datetime NOT NULL, `desired_state` text NOT NULL, `restart_generation` integer NOT NULL DEFAULT (0), `delete_data` bool NOT NULL DEFAULT (false), `node_id` text NULL, `ports` json NULL, `phase` text NOT NULL, `health` text NOT NULL, `reason` text NOT NULL DEFAULT (''), `instance` text NOT NULL DEFAULT (''), `ended` text NOT NULL DEFAULT (''), `handled_generation` integer NOT NULL DEFAULT (0), `restarts` integer NOT NULL DEFAULT (0), `failures` json NULL, `crash_loop` bool NOT NULL DEFAULT (false), `cause_id` integer NULL, `ever_healthy` bool NOT NULL DEFAULT (false), `healthy_since` datetime NULL, `next_restart_at` datetime NULL, `last_health_check_at` datetime NULL, `updated_at` datetime NOT NULL, `version` integer NOT NULL DEFAULT (0), PRIMARY KEY (`id`));
-- create index "services_name_key" to table: "services"
CREATE UNIQUE INDEX `services_name_key` ON `services` (`name`);
-- create index "service_node_id" to table: "services"
CREATE INDEX `service_node_id` ON `services` (`node_id`);
-- create index "service_created_at_id" to table: "services"
CREATE INDEX `service_created_at_id` ON `services` (`created_at`, `id`);
