-- +goose Up
-- add column "log_line" to table: "events"
ALTER TABLE `events` ADD COLUMN `log_line` text NULL;
-- add column "log_line" to table: "services"
ALTER TABLE `services` ADD COLUMN `log_line` text NULL;
