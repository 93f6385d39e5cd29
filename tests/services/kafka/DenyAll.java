import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;

/** Denies a user everything on resources of a kind whose names have a prefix: BOOTSTRAP USER KIND PREFIX. */
public class DenyAll {
    public static void main(String[] args) throws Exception {
        ResourcePattern where = new ResourcePattern(ResourceType.valueOf(args[2]), args[3], PatternType.PREFIXED);
        AccessControlEntry what =
            new AccessControlEntry("User:" + args[1], "*", AclOperation.ALL, AclPermissionType.DENY);
        try (Admin admin = Admin.create(Map.<String, Object>of("bootstrap.servers", args[0]))) {
            admin.createAcls(List.of(new AclBinding(where, what))).all().get();
        }
    }
}
