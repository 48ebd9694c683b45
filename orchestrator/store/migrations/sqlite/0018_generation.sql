-- +goose Up
-- add column "spec_generation" to table: "services"
ALTER TABLE `services` ADD COLUMN `spec_generation` integer NOT NULL DEFAULT (1);
-- add column "observed_generation" to table: "services"
ALTER TABLE `services` ADD COLUMN `observed_generation` integer NOT NULL DEFAULT (0);
-- instances that exist were created from the first generation
UPDATE `services` SET `observed_generation` = 1 WHERE `instance` <> '';
