-- +goose Up
-- Written by hand: the generated migration recreates the table, which would leave an empty page.
ALTER TABLE `installations` ADD COLUMN `home` json NULL;
ALTER TABLE `installations` ADD COLUMN `store` text NOT NULL DEFAULT '';
ALTER TABLE `installations` ADD COLUMN `epoch` integer NOT NULL DEFAULT 0;
ALTER TABLE `installations` ADD COLUMN `cloned_from` text NULL;
