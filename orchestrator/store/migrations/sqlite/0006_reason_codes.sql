-- +goose Up
-- add column "reason_code" to table: "events"
ALTER TABLE `events` ADD COLUMN `reason_code` text NULL;
-- add column "reason_code" to table: "services"
ALTER TABLE `services` ADD COLUMN `reason_code` text NULL;
