-- Every object of the extension says what it is.
begin;
select no_plan();

create temporary view member as
select d.classid, d.objid
  from pg_depend d
  join pg_extension e on e.oid = d.refobjid and e.extname = 'webhook'
 where d.refclassid = 'pg_extension'::regclass and d.deptype = 'e';

select isnt(obj_description('webhook'::regnamespace, 'pg_namespace'), null,
            'schema webhook has a comment');

select isnt(obj_description(c.oid, 'pg_class'), null,
            c.oid::regclass || ' has a comment')
  from pg_class c
  join member m on m.classid = 'pg_class'::regclass and m.objid = c.oid
 where c.relkind in ('r', 'p', 'v')
 order by c.relname;

select isnt(col_description(c.oid, a.attnum), null,
            format('%s.%s has a comment', c.oid::regclass, a.attname))
  from pg_class c
  join member m on m.classid = 'pg_class'::regclass and m.objid = c.oid
  join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
 where c.relkind in ('r', 'p', 'v')
 order by c.relname, a.attnum;

select isnt(obj_description(p.oid, 'pg_proc'), null,
            p.oid::regprocedure || ' has a comment')
  from pg_proc p
  join member m on m.classid = 'pg_proc'::regclass and m.objid = p.oid
 order by p.oid::regprocedure::text collate "C";

-- And nothing of it is outside its schema.
select is_empty(
    $$select pg_describe_object(classid, objid, 0)
        from member
       where pg_identify_object(classid, objid, 0) is not null
         and (pg_identify_object(classid, objid, 0)).schema
             is distinct from 'webhook'
         and classid not in ('pg_namespace'::regclass, 'pg_trigger'::regclass,
                             'pg_cast'::regclass)$$,
    'every member of the extension is in schema webhook');

-- Comments are written alike: no full stop at the end, and not only the name.
select is_empty(
    $$select pg_describe_object(d.classoid, d.objoid, d.objsubid), d.description
        from pg_description d
        join member m on m.classid = d.classoid and m.objid = d.objoid
       where d.description ~ '\.$' or length(d.description) < 8$$,
    'no comment ends in a full stop or says nothing');

select * from finish();
rollback;
