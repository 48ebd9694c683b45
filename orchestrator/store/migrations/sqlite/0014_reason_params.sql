-- +goose Up
-- add column "reason_params" to table: "services"
ALTER TABLE `services` ADD COLUMN `reason_params` json NULL;
-- add column "reason_params" to table: "events"
ALTER TABLE `events` ADD COLUMN `reason_params` json NULL;
