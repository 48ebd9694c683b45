-- +goose Up
ALTER TABLE `services` ADD COLUMN `quarantine` json NULL;
ALTER TABLE `volumes` ADD COLUMN `quarantine` json NULL;
ALTER TABLE `restores` ADD COLUMN `quarantine` bool NOT NULL DEFAULT (false);
