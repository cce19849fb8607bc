DO $move_away$
DECLARE
    thing record;
BEGIN
    FOR thing IN SELECT w.words FROM ({found}) w WHERE w.words <> '' LOOP
        EXECUTE thing.words;
    END LOOP;
END
$move_away$
