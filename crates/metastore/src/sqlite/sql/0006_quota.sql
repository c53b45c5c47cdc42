-- How much an account may keep; NULL: as much as the disk takes. And how much its drives do, versions and trash included: the plain
-- bytes of their chunks, counted by the database itself wherever one comes or goes.
ALTER TABLE account ADD COLUMN quota_bytes INTEGER;
ALTER TABLE drive ADD COLUMN used_bytes INTEGER NOT NULL DEFAULT 0;
UPDATE drive SET used_bytes = (SELECT coalesce(sum(length), 0) FROM chunk WHERE chunk.drive = drive.number);

CREATE TRIGGER chunk_comes AFTER INSERT ON chunk BEGIN
    UPDATE drive SET used_bytes = used_bytes + NEW.length WHERE number = NEW.drive;
END;
CREATE TRIGGER chunk_goes AFTER DELETE ON chunk BEGIN
    UPDATE drive SET used_bytes = used_bytes - OLD.length WHERE number = OLD.drive;
END;
