-- +goose Up
-- create "log_tails" table
CREATE TABLE `log_tails` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `service_id` text NOT NULL, `lines` blob NOT NULL);
-- create index "logtail_service_id_id" to table: "log_tails"
CREATE INDEX `logtail_service_id_id` ON `log_tails` (`service_id`, `id`);
