-- +goose Up
ALTER TABLE `restores` ADD COLUMN `ports` json NULL;
ALTER TABLE `restores` ADD COLUMN `memory_bytes` integer NOT NULL DEFAULT (0);
ALTER TABLE `restores` ADD COLUMN `cpus` real NOT NULL DEFAULT (0);
