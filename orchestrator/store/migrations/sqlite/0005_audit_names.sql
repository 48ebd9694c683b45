-- +goose Up
-- Not a new table, as ent proposes: the triggers of this one must stay.
ALTER TABLE `audits` ADD COLUMN `target_name` text NOT NULL DEFAULT '';
