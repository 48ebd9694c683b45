-- +goose Up
-- Retained data becomes a volume without a service. The old table is dropped before the new one is created, which takes over its
-- pages: an empty page would stay in the file.
CREATE TEMPORARY TABLE `retained` AS SELECT * FROM `retaineds`;
DROP TABLE `retaineds`;
-- create "volumes" table
CREATE TABLE `volumes` (`id` text NOT NULL, `service_id` text NULL, `name` text NOT NULL, `kind` text NOT NULL, `template` text NOT NULL, `node_id` text NOT NULL DEFAULT (''), `created_at` datetime NOT NULL, `former_service` text NOT NULL DEFAULT (''), `data_marked` bool NOT NULL DEFAULT (false), `ports` json NULL, `credentials` blob NULL, `pending_credentials` blob NULL, `retained_at` datetime NULL, `desired_state` text NOT NULL DEFAULT (''), `forgotten` bool NOT NULL DEFAULT (false), `node_name` text NOT NULL DEFAULT (''), `engine_id` text NOT NULL DEFAULT (''), `deleting` bool NOT NULL DEFAULT (false), `obstacle` text NULL, `version` integer NOT NULL DEFAULT (0), `definition` json NOT NULL, PRIMARY KEY (`id`));
-- create index "volumes_service_id_key" to table: "volumes"
CREATE UNIQUE INDEX `volumes_service_id_key` ON `volumes` (`service_id`);
-- create index "volumes_name_key" to table: "volumes"
CREATE UNIQUE INDEX `volumes_name_key` ON `volumes` (`name`);
INSERT INTO `volumes` (`id`, `name`, `kind`, `template`, `node_id`, `created_at`, `former_service`, `data_marked`, `ports`, `credentials`, `pending_credentials`, `retained_at`, `desired_state`, `forgotten`, `node_name`, `engine_id`, `deleting`, `obstacle`, `definition`)
SELECT `id`, `name`, `kind`, `template`, `node_id`, `created_at`, `service_id`, `data_marked`, `ports`, `credentials`, `pending_credentials`, `retained_at`, `desired_state`, `forgotten`, `node_name`, `engine_id`, `deleting`, `obstacle`, `definition` FROM temp.`retained`;
DROP TABLE temp.`retained`;
-- The data of a service that is not placed is on the requested node if it was reattached, else nowhere yet.
INSERT INTO `volumes` (`id`, `service_id`, `name`, `kind`, `template`, `node_id`, `created_at`, `definition`)
SELECT `volume`, `id`, `name`, `kind`, `template`, coalesce(nullif(`node_id`, ''), CASE WHEN `ever_healthy` THEN `requested_node` END, ''), `created_at`, `definition` FROM `services`;
